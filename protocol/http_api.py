"""What the HTTP API answers: one struct per JSON document, made from the supervisor's replies.

The service encodes them and `http_client` decodes them; times come as RFC 3339 unless a name says
otherwise.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Struct

from genvm_manager.base.logging.lines import Level

from .ipc.modules import ModuleKind, ModuleState, ModuleStatus
from .ipc.replies import ArtifactPart
from .ipc.runs import Artifact, Cause, FinishedRun, RunState
from .ipc.status import Execution, Permits, Status, unpack_executions

Audit = Literal["ok"] | list[str]

_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})")


class Health(Struct, frozen=True):
    status: Literal["alive", "ready"]


class RunStarted(Struct, frozen=True):
    id: int
    result: Literal["started"] = "started"


class ShutdownCompleted(Struct, frozen=True):
    genvm_id: int
    result: Literal["shutdown_completed"] = "shutdown_completed"


class PermitsSet(Struct, frozen=True):
    permits: int
    result: Literal["permits_set"] = "permits_set"


class PermitsReply(Struct, frozen=True):
    """`permits` is what is free now, `max` the total."""

    permits: int
    max: int
    in_use: int
    queued: int

    @classmethod
    def of(cls, permits: Permits) -> PermitsReply:
        return cls(max(0, permits.free), permits.total, permits.in_use, permits.queued)


class StatusPermits(Struct, frozen=True):
    current: int
    max: int
    in_use: int
    queued: int
    per_sync_run: int
    per_nondet_run: int

    @classmethod
    def of(cls, permits: Permits) -> StatusPermits:
        return cls(
            max(0, permits.free),
            permits.total,
            permits.in_use,
            permits.queued,
            permits.per_sync_run,
            permits.per_nondet_run,
        )


class ExecutionEnd(Struct, frozen=True):
    finished_at: datetime


class ExecutionReply(Struct, frozen=True):
    """`cause` is null until the run is to end."""

    version: str | None
    state: RunState
    cause: Cause | None
    accepted_at: datetime
    started_at: datetime | None
    strict_deadline: datetime | None
    result: ExecutionEnd | None
    pid: int | None
    rss_bytes: int | None
    cpu_seconds: float | None

    @classmethod
    def of(cls, execution: Execution) -> ExecutionReply:
        finished_at = _moment(execution.finished_at)
        return cls(
            version=execution.version,
            state=execution.state,
            cause=execution.cause,
            accepted_at=datetime.fromtimestamp(execution.accepted_at, UTC),
            started_at=_moment(execution.started_at),
            strict_deadline=_moment(execution.strict_deadline),
            result=None if finished_at is None else ExecutionEnd(finished_at),
            pid=execution.pid,
            rss_bytes=execution.rss,
            cpu_seconds=execution.cpu_seconds,
        )


class WorkerReply(Struct, frozen=True):
    """A place in a module's pool; all but `sessions` are null while no process is in it."""

    pid: int | None
    sessions: int
    rss_bytes: int | None
    cpu_seconds: float | None


class ModuleReply(Struct, frozen=True):
    """`reason` says why it did not start, why it failed, or what it lacks while it runs;
    `retiring` are sessions of the one before a restart that still go on."""

    state: ModuleState
    since: datetime
    reason: str | None
    workers: list[WorkerReply]
    retiring: int

    @classmethod
    def of(cls, module: ModuleStatus) -> ModuleReply:
        workers = [WorkerReply(w.pid, w.sessions, w.rss, w.cpu_seconds) for w in module.workers]
        since = datetime.fromtimestamp(module.since, UTC)
        return cls(module.state, since, module.reason, workers, module.retiring)


class StatusReply(Struct, frozen=True):
    """`audit` is `ok`, or a sentence for each thing that is not as it must be.

    `accepting`: whether new runs are taken. `sampled_at`: when memory and processor time were
    looked at last; None: there was nothing to look at yet.
    """

    accepting: bool
    llm_module: ModuleState
    web_module: ModuleState
    modules: dict[ModuleKind, ModuleReply]
    permits: StatusPermits
    executions: dict[str, ExecutionReply]
    executions_omitted: int
    sampled_at: datetime | None
    audit: Audit


class WrittenStatus(Struct, frozen=True):
    """A `StatusReply` as the service writes it: what does not change any more is JSON already."""

    accepting: bool
    llm_module: ModuleState
    web_module: ModuleState
    modules: dict[ModuleKind, ModuleReply]
    permits: StatusPermits
    executions: dict[str, ExecutionReply | msgspec.Raw]
    executions_omitted: int
    sampled_at: datetime | None
    audit: Audit

    @classmethod
    def of(
        cls, status: Status, executions: dict[str, ExecutionReply | msgspec.Raw] | None = None
    ) -> WrittenStatus:
        """`executions`: what to say of them; None: all."""
        return cls(
            status.accepting,
            status.modules[ModuleKind.LLM].state,
            status.modules[ModuleKind.WEB].state,
            {kind: ModuleReply.of(module) for kind, module in status.modules.items()},
            StatusPermits.of(status.permits),
            _executions(status) if executions is None else executions,
            status.executions_omitted,
            _moment(status.sampled_at),
            status.audit or "ok",
        )


class StatusEvent(Struct, frozen=True):
    """What an event of `/events` carries. `at`: the service's clock. `gone`: ids shown no more."""

    at: datetime
    status: WrittenStatus
    gone: list[int]


class RunMetrics(Struct, frozen=True):
    """What the run cost; None where it never came so far."""

    queued_ms: int | None
    wall_ms: int | None
    cpu_seconds: float | None
    peak_rss_bytes: int | None


class FinishedRunReply(Struct, frozen=True):
    """A run that is over (docs/spec/01-http-api.md#runs). `finished_at` is in Unix milliseconds.

    `consumed_result` travels as base64 when it is bytes, else as a list of byte values. `exit_code`
    is None when a signal ended the process; `signal` names it. `genvm_log` is a list of objects.
    """

    stdout: str
    stderr: str
    genvm_log: msgspec.Raw
    finished_at: int
    consumed_result: bytes | list[int] | None
    version_major: int | None
    version_minor: int | None
    metrics: RunMetrics
    cause: Cause
    reason: str | None
    exit_code: int | None
    signal: int | None
    peak_rss_bytes: int | None
    cpu_seconds: float | None
    wall_ms: int | None
    stdout_dropped_bytes: int
    stderr_dropped_bytes: int
    genvm_log_dropped_records: int

    @classmethod
    def of(cls, run: FinishedRun, *, as_base64: bool) -> FinishedRunReply:
        major, minor = _version_numbers(run.version)
        wall_ms = _elapsed_ms(run.started_at, run.finished_at)
        result = run.result if as_base64 or run.result is None else list(run.result)
        return cls(
            stdout=run.stdout.decode("utf-8", "replace"),
            stderr=run.stderr.decode("utf-8", "replace"),
            genvm_log=msgspec.Raw(run.genvm_log),
            finished_at=round(run.finished_at * 1000),
            consumed_result=result,
            version_major=major,
            version_minor=minor,
            metrics=RunMetrics(
                queued_ms=_elapsed_ms(run.accepted_at, run.started_at),
                wall_ms=wall_ms,
                cpu_seconds=run.cpu_seconds,
                peak_rss_bytes=run.peak_rss,
            ),
            cause=run.cause,
            reason=run.reason,
            exit_code=run.exit.code,
            signal=run.exit.signal,
            peak_rss_bytes=run.peak_rss,
            cpu_seconds=run.cpu_seconds,
            wall_ms=wall_ms,
            stdout_dropped_bytes=run.stdout_dropped,
            stderr_dropped_bytes=run.stderr_dropped,
            genvm_log_dropped_records=run.log_dropped,
        )


class RunReply(Struct, frozen=True):
    """`status` is None while the run is queued or under way, and for an unknown id."""

    genvm_id: int
    status: FinishedRunReply | None


class ArtifactReply(Struct, frozen=True):
    """Part of a run's output; empty from its end on. `offset` and `total_len` count what is kept of
    it, before which `dropped_bytes` are not.

    `data_base64` travels as base64. While the run is under way, both figures grow, and a log is a
    JSON array without its closing bracket: each record is a line, after a bracket or a comma.
    """

    genvm_id: int
    field: Artifact
    state: RunState
    dropped_bytes: int
    total_len: int
    data_base64: bytes

    @classmethod
    def of(cls, genvm_id: int, field: Artifact, part: ArtifactPart) -> ArtifactReply:
        return cls(genvm_id, field, part.state, part.dropped_bytes, part.total_len, part.content)


class VmErrorDescription(Struct, frozen=True):
    """What a contract's author should know and do; None for a code that is unknown."""

    description: str | None


class DetectedVersion(Struct, frozen=True):
    specified_major: int


class PreDeployWrites(Struct, frozen=True):
    """Pairs of key (slot 32 bytes + offset u32 little-endian) and content, all as base64."""

    writes: list[tuple[bytes, bytes]]


class ContractSchema(Struct, frozen=True):
    """`schema` is a JSON document (docs/spec/06-contracts.md#schema)."""

    schema: str


class ModuleStarted(Struct, frozen=True):
    result: Literal["module_started"] = "module_started"


class ModuleRestarted(Struct, frozen=True):
    result: Literal["module_restarted"] = "module_restarted"


class ModuleStopped(Struct, frozen=True):
    result: Literal["module_stopped", "module_not_running"]


class LogLevelSet(Struct, frozen=True):
    level: Level
    result: Literal["log_level_set"] = "log_level_set"


class ManifestReloaded(Struct, frozen=True):
    result: Literal["manifest_reloaded"] = "manifest_reloaded"


class EnvVarSet(Struct, frozen=True):
    """The value is never told."""

    key: str
    result: Literal["env_var_set"] = "env_var_set"


class ErrorReply(Struct, frozen=True, omit_defaults=True):
    """What is wrong, in one sentence; `genvm_id` where the error is about one run."""

    error: str
    genvm_id: int | None = None


def _executions(status: Status) -> dict[str, ExecutionReply | msgspec.Raw]:
    return {
        **{str(entry.id): ExecutionReply.of(entry) for entry in status.under_way},
        **written_executions(status.finished),
    }


@lru_cache(maxsize=4)
def written_executions(packed: bytes) -> dict[str, msgspec.Raw]:
    """JSON of `ExecutionReply`, by id. Most often the same as a moment ago: then nothing is done
    again."""
    return {
        str(entry.id): msgspec.Raw(msgspec.json.encode(ExecutionReply.of(entry)))
        for entry in unpack_executions(packed)
    }


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _elapsed_ms(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else max(0, round((end - start) * 1000))


def _version_numbers(version: str | None) -> tuple[int | None, int | None]:
    matched = _VERSION.match(version or "")
    return (int(matched[1]), int(matched[2])) if matched else (None, None)

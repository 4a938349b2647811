"""Documents that the HTTP API answers with: one struct for each, and what its fields mean.

The service encodes them, `manager/client` decodes them, and the OpenAPI document takes its schemas
and descriptions from them. Times are RFC 3339 unless a field says otherwise.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from genvm_manager.base.logging.lines import Level

from .ipc.modules import ModuleKind, ModuleState, ModuleStatus
from .ipc.replies import ArtifactPart
from .ipc.runs import Artifact, Cause, FinishedRun, RunState
from .ipc.status import Execution, Permits, Status, unpack_executions

Audit = Literal["ok"] | list[str]
RunId = Annotated[int, Meta(description="The run's id.", examples=[12_345])]
RssBytes = Annotated[int | None, Meta(description="Resident memory in bytes; null when unknown.")]
CpuSeconds = Annotated[
    float | None, Meta(description="Processor time in seconds; null when unknown.")
]

_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})")


class Health(Struct, frozen=True):
    """The service is well."""

    status: Annotated[
        Literal["alive", "ready"],
        Meta(description="`alive`: the HTTP process answers; `ready`: the service takes runs."),
    ]


class RunStarted(Struct, frozen=True):
    """The executor of a run has started."""

    id: RunId
    result: Annotated[Literal["started"], Meta(description="Always `started`.")] = "started"


class ShutdownCompleted(Struct, frozen=True):
    """A run has ended; nothing of it is left running."""

    genvm_id: RunId
    result: Annotated[
        Literal["shutdown_completed"], Meta(description="Always `shutdown_completed`.")
    ] = "shutdown_completed"


class PermitsSet(Struct, frozen=True):
    """The new number of permits is in force."""

    permits: Annotated[int, Meta(description="The total now in force.")]
    result: Annotated[Literal["permits_set"], Meta(description="Always `permits_set`.")] = (
        "permits_set"
    )


class PermitsReply(Struct, frozen=True):
    """The concurrency budget: how many permits there are, and how many are taken."""

    permits: Annotated[int, Meta(description="Permits that are free now.")]
    max: Annotated[int, Meta(description="The total number of permits.")]
    in_use: Annotated[int, Meta(description="Permits that runs hold.")]
    queued: Annotated[int, Meta(description="Runs that wait for permits.")]

    @classmethod
    def of(cls, permits: Permits) -> PermitsReply:
        """Return the document for the supervisor's reply."""
        return cls(max(0, permits.free), permits.total, permits.in_use, permits.queued)


class StatusPermits(Struct, frozen=True):
    """The concurrency budget, as `/status` shows it."""

    current: Annotated[int, Meta(description="Permits that are free now.")]
    max: Annotated[int, Meta(description="The total number of permits.")]
    in_use: Annotated[int, Meta(description="Permits that runs hold.")]
    queued: Annotated[int, Meta(description="Runs that wait for permits.")]
    per_sync_run: Annotated[int, Meta(description="Permits that a deterministic run takes.")]
    per_nondet_run: Annotated[int, Meta(description="Permits that any other run takes.")]

    @classmethod
    def of(cls, permits: Permits) -> StatusPermits:
        """Return the part of the status for the supervisor's reply."""
        return cls(
            max(0, permits.free),
            permits.total,
            permits.in_use,
            permits.queued,
            permits.per_sync_run,
            permits.per_nondet_run,
        )


class ExecutionEnd(Struct, frozen=True):
    """The end of a run, as `/status` shows it."""

    finished_at: Annotated[datetime, Meta(description="When the run ended.")]


class ExecutionReply(Struct, frozen=True):
    """A run, as `/status` shows it."""

    version: Annotated[
        str | None, Meta(description="The executor's version; null until one is chosen.")
    ]
    state: Annotated[RunState, Meta(description="Where the run is in its life.")]
    cause: Annotated[
        Cause | None, Meta(description="Why the run ends or has ended; null until then.")
    ]
    accepted_at: Annotated[datetime, Meta(description="When the service accepted the run.")]
    started_at: Annotated[
        datetime | None, Meta(description="When the executor started; null until then.")
    ]
    strict_deadline: Annotated[
        datetime | None, Meta(description="When the run is killed at the latest.")
    ]
    result: Annotated[ExecutionEnd | None, Meta(description="Null until the run has ended.")]
    pid: Annotated[int | None, Meta(description="The executor's process; null without one.")]
    rss_bytes: RssBytes
    cpu_seconds: CpuSeconds

    @classmethod
    def of(cls, execution: Execution) -> ExecutionReply:
        """Return the document for the supervisor's entry."""
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
    """A place for one process in a module's pool."""

    pid: Annotated[int | None, Meta(description="The process; null while there is none.")]
    sessions: Annotated[int, Meta(description="Runs that this process serves now.")]
    rss_bytes: RssBytes
    cpu_seconds: CpuSeconds


class ModuleReply(Struct, frozen=True):
    """The state of a module."""

    state: Annotated[ModuleState, Meta(description="Whether the module runs.")]
    since: Annotated[datetime, Meta(description="When the module came into this state.")]
    reason: Annotated[
        str | None,
        Meta(
            description="Why the module did not start, why it failed, or what it lacks while it "
            "runs; null when all is well."
        ),
    ]
    workers: Annotated[list[WorkerReply], Meta(description="The places of its pool.")]
    retiring: Annotated[
        int, Meta(description="Runs that still use the module as it was before a restart.")
    ]

    @classmethod
    def of(cls, module: ModuleStatus) -> ModuleReply:
        """Return the document for the supervisor's entry."""
        workers = [WorkerReply(w.pid, w.sessions, w.rss, w.cpu_seconds) for w in module.workers]
        since = datetime.fromtimestamp(module.since, UTC)
        return cls(module.state, since, module.reason, workers, module.retiring)


class StatusReply(Struct, frozen=True):
    """The state of the whole service."""

    accepting: Annotated[bool, Meta(description="Whether the service takes new runs.")]
    llm_module: Annotated[ModuleState, Meta(description="The state of the LLM module.")]
    web_module: Annotated[ModuleState, Meta(description="The state of the web module.")]
    modules: Annotated[
        dict[ModuleKind, ModuleReply], Meta(description="The modules by their names.")
    ]
    permits: Annotated[StatusPermits, Meta(description="The concurrency budget.")]
    executions: Annotated[
        dict[str, ExecutionReply],
        Meta(description="By id: all runs that have not finished, and the newest that have."),
    ]
    executions_omitted: Annotated[
        int, Meta(description="How many finished runs are stored and not shown here.")
    ]
    sampled_at: Annotated[
        datetime | None,
        Meta(description="When memory and processor time were measured last; null before that."),
    ]
    audit: Annotated[
        Audit,
        Meta(
            description="`ok`, or a sentence for each invariant of the service that does not hold."
        ),
    ]


class WrittenStatus(Struct, frozen=True):
    """A `StatusReply` as the service writes it: runs that have finished are encoded already."""

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
        """Return the document for the supervisor's reply, with these `executions`; None: all."""
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
    """The document in an event of `/events`.

    `at` is the service's clock; `gone` lists the ids of runs that are no longer shown.
    """

    at: datetime
    status: WrittenStatus
    gone: list[int]


class RunMetrics(Struct, frozen=True):
    """The time and memory that a run took."""

    queued_ms: Annotated[
        int | None,
        Meta(description="Milliseconds in the queue; null when the run never left it."),
    ]
    wall_ms: Annotated[
        int | None,
        Meta(description="Milliseconds from start to end; null when the run never started."),
    ]
    cpu_seconds: CpuSeconds
    peak_rss_bytes: Annotated[
        int | None, Meta(description="The largest resident memory in bytes; null when unknown.")
    ]


class FinishedRunReply(Struct, frozen=True):
    """A run that has finished (docs/spec/01-http-api.md#runs)."""

    stdout: Annotated[
        str, Meta(description="The kept part of stdout; bytes that are not UTF-8 are replaced.")
    ]
    stderr: Annotated[
        str, Meta(description="The kept part of stderr; bytes that are not UTF-8 are replaced.")
    ]
    genvm_log: Annotated[
        msgspec.Raw,
        Meta(
            description="The kept records of the executor's log.",
            extra_json_schema={"type": "array", "items": {"type": "object"}},
        ),
    ]
    finished_at: Annotated[int, Meta(description="When the run ended, in Unix milliseconds.")]
    consumed_result: Annotated[
        bytes | list[int] | None,
        Meta(
            description="The result that the executor handed over: its byte values, or base64 "
            "with `?bytes=base64`; null when there is none."
        ),
    ]
    version_major: Annotated[
        int | None, Meta(description="Of the executor's version; null when none was chosen.")
    ]
    version_minor: Annotated[
        int | None, Meta(description="Of the executor's version; null when none was chosen.")
    ]
    metrics: Annotated[RunMetrics, Meta(description="The time and memory that the run took.")]
    cause: Annotated[Cause, Meta(description="Why the run ended.")]
    reason: Annotated[
        str | None, Meta(description="The cause in words, where there is more to say.")
    ]
    exit_code: Annotated[
        int | None, Meta(description="Null when a signal ended the process, or it never ran.")
    ]
    signal: Annotated[
        int | None, Meta(description="The number of the signal that ended the process.")
    ]
    peak_rss_bytes: Annotated[
        int | None, Meta(description="The largest resident memory in bytes; null when unknown.")
    ]
    cpu_seconds: CpuSeconds
    wall_ms: Annotated[
        int | None,
        Meta(description="Milliseconds from start to end; null when the run never started."),
    ]
    stdout_dropped_bytes: Annotated[int, Meta(description="Bytes before those that are kept.")]
    stderr_dropped_bytes: Annotated[int, Meta(description="Bytes before those that are kept.")]
    genvm_log_dropped_records: Annotated[
        int, Meta(description="Records before those that are kept.")
    ]
    contract_error: Annotated[
        str | None,
        Meta(
            description="Why the contract ended with a VM error, in one line, such as `KeyError: "
            "'missing' (contract.py:22, in _inner)`; null otherwise, and where the executor has "
            "not said. It may repeat text of the contract, and is no part of the result."
        ),
    ] = None

    @classmethod
    def of(cls, run: FinishedRun, *, as_base64: bool) -> FinishedRunReply:
        """Return the document for the supervisor's record; `as_base64` is about the result."""
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
            contract_error=run.contract_error,
            peak_rss_bytes=run.peak_rss,
            cpu_seconds=run.cpu_seconds,
            wall_ms=wall_ms,
            stdout_dropped_bytes=run.stdout_dropped,
            stderr_dropped_bytes=run.stderr_dropped,
            genvm_log_dropped_records=run.log_dropped,
        )


class RunReply(Struct, frozen=True):
    """A run, once it has finished."""

    genvm_id: RunId
    status: Annotated[
        FinishedRunReply | None,
        Meta(description="Null while the run is queued or running, and for an unknown id."),
    ]


class ArtifactReply(Struct, frozen=True):
    """A part of a run's output."""

    genvm_id: RunId
    field: Annotated[Artifact, Meta(description="Which output this is.")]
    state: Annotated[RunState, Meta(description="Where the run is in its life.")]
    dropped_bytes: Annotated[
        int, Meta(description="Bytes of the output before those that are kept.")
    ]
    total_len: Annotated[
        int, Meta(description="Bytes that are kept; it grows while the run is running.")
    ]
    data_base64: Annotated[
        bytes,
        Meta(
            description="The bytes from `offset` on, as base64; empty beyond the end. While the "
            "run is running, a log is a JSON array without its closing bracket, with each record "
            "on a line of its own."
        ),
    ]

    @classmethod
    def of(cls, genvm_id: int, field: Artifact, part: ArtifactPart) -> ArtifactReply:
        """Return the document for the supervisor's reply."""
        return cls(genvm_id, field, part.state, part.dropped_bytes, part.total_len, part.content)


class VmErrorDescription(Struct, frozen=True):
    """The meaning of a VM error code."""

    description: Annotated[
        str | None,
        Meta(
            description="What happened and what the contract's author can do; null for an unknown "
            "code."
        ),
    ]


class DetectedVersion(Struct, frozen=True):
    """The version that a contract asks for."""

    specified_major: Annotated[int, Meta(description="Public-ABI major.")]


class PreDeployWrites(Struct, frozen=True):
    """The writes to storage before a deployment."""

    writes: Annotated[
        list[tuple[bytes, bytes]],
        Meta(
            description="Pairs of key (32 bytes of the slot, 4 bytes of the offset, little-endian) "
            "and content, both as base64."
        ),
    ]


class ContractSchema(Struct, frozen=True):
    """A contract's schema (docs/spec/06-contracts.md#schema)."""

    schema: Annotated[str, Meta(description="The schema, a JSON document as text.")]


class ModuleStarted(Struct, frozen=True):
    """The module answers requests."""

    result: Annotated[Literal["module_started"], Meta(description="Always `module_started`.")] = (
        "module_started"
    )


class ModuleRestarted(Struct, frozen=True):
    """The module answers requests with its new configuration."""

    result: Annotated[
        Literal["module_restarted"], Meta(description="Always `module_restarted`.")
    ] = "module_restarted"


class ModuleStopped(Struct, frozen=True):
    """The module does not run."""

    result: Annotated[
        Literal["module_stopped", "module_not_running"],
        Meta(description="`module_not_running`: it did not run before either."),
    ]


class LogLevelSet(Struct, frozen=True):
    """The new log level is in force."""

    level: Annotated[Level, Meta(description="The level now in force.")]
    result: Annotated[Literal["log_level_set"], Meta(description="Always `log_level_set`.")] = (
        "log_level_set"
    )


class ManifestReloaded(Struct, frozen=True):
    """The manifest on the disk is in force."""

    result: Annotated[
        Literal["manifest_reloaded"], Meta(description="Always `manifest_reloaded`.")
    ] = "manifest_reloaded"


class EnvVarSet(Struct, frozen=True):
    """The variable is set. The reply does not repeat its value."""

    key: Annotated[str, Meta(description="The variable's name.")]
    result: Annotated[Literal["env_var_set"], Meta(description="Always `env_var_set`.")] = (
        "env_var_set"
    )


class ErrorReply(Struct, frozen=True, omit_defaults=True):
    """An error."""

    error: Annotated[
        str,
        Meta(
            description="One sentence: what went wrong and, where there is something to do, the "
            "next step. It begins with the field, header or query parameter at fault."
        ),
    ]
    genvm_id: Annotated[
        int | None, Meta(description="The run's id, where the error is about one run.")
    ] = None


def _executions(status: Status) -> dict[str, ExecutionReply | msgspec.Raw]:
    return {
        **{str(entry.id): ExecutionReply.of(entry) for entry in status.under_way},
        **written_executions(status.finished),
    }


@lru_cache(maxsize=4)
def written_executions(packed: bytes) -> dict[str, msgspec.Raw]:
    """Return each finished run's `ExecutionReply` in JSON, by id.

    Cached, because the list is mostly the same as a moment ago.
    """
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

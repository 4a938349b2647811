"""`/genvm/{id}`: read a run, wait for its end, end it (docs/spec/01-http-api.md#runs)."""

from __future__ import annotations

from http import HTTPStatus

from genvm_manager.base.errors import RunNotFound
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, ErrorCase, bad_request
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.declaration.parameters import Parameter, choice, integer
from genvm_manager.manager.api.errors import NOT_FOUND
from genvm_manager.manager.api.sources import Sources
from genvm_manager.manager.api.supervisor_client import CANCEL_SLACK
from genvm_manager.manager.ipc_client.connection import ANSWER_GRACE
from genvm_manager.protocol import calldata
from genvm_manager.protocol.http_api import FinishedRunReply, RunReply, ShutdownCompleted
from genvm_manager.protocol.ipc.commands import CancelRun, GetRun
from genvm_manager.protocol.ipc.replies import RunCancelled, RunStatus
from genvm_manager.protocol.limits import MAX_RUN_ID, MAX_WAIT

DEFAULT_GRACE_MS = 30_000
MAX_GRACE_MS = 3_600_000

_EXAMPLE_ID = 12_345

ID = Parameter(
    "genvm_id", "path", "The run's id.", {"type": "integer", "minimum": 0}, _EXAMPLE_ID, int
)
_WAIT = Parameter(
    "wait",
    "query",
    f"How long to wait for the end: `250ms`, `30s`, `1m`; at most {MAX_WAIT:.0f} s.",
    {"type": "string", "pattern": r"^\d{1,6}(\.\d{1,3})?(ms|s|m|h)$"},
    "30s",
    lambda text: min(parse_duration(text), MAX_WAIT),
    default=0.0,
)
_BYTES = choice("bytes", "How `consumed_result` is written.", ("list", "base64"), has_default=True)
_OUTPUTS = choice(
    "outputs",
    "`none`: `stdout`, `stderr`, `genvm_log` and `consumed_result`, which may be large, come "
    "empty; `GET /genvm/{genvm_id}/artifact` reads them in parts.",
    ("all", "none"),
    has_default=True,
)
_GRACE = integer(
    "wait_timeout_ms",
    "Milliseconds between SIGTERM and SIGKILL.",
    f"whole milliseconds up to {MAX_GRACE_MS}",
    default=DEFAULT_GRACE_MS,
    maximum=MAX_GRACE_MS,
)

NO_RUN = ErrorCase(
    HTTPStatus.NOT_FOUND, "No such run.", f"GenVM with id {_EXAMPLE_ID} not found", _EXAMPLE_ID
)
_USE = {"cpu_seconds": 0.21, "peak_rss_bytes": 48_234_496}
_EXAMPLE = {
    "genvm_id": _EXAMPLE_ID,
    "status": {
        "stdout": "",
        "stderr": "",
        "genvm_log": [{"level": "info", "message": "start"}],
        "finished_at": 1_769_860_801_250,
        "consumed_result": list(b"\0" + calldata.encode({"data": "hello"})),
        "version_major": 0,
        "version_minor": 2,
        "metrics": {"queued_ms": 3, "wall_ms": 310, **_USE},
        "cause": "exited",
        "reason": None,
        "exit_code": 0,
        "signal": None,
        "contract_error": None,
        **_USE,
        "wall_ms": 310,
        "stdout_dropped_bytes": 0,
        "stderr_dropped_bytes": 0,
        "genvm_log_dropped_records": 0,
    },
}


def read(sources: Sources) -> RunReply:
    """Return the run, once it has ended or after `wait`."""
    genvm_id, wait = ID.read(), _WAIT.read()
    as_base64, has_outputs = _BYTES.read() == "base64", _OUTPUTS.read() == "all"
    if genvm_id > MAX_RUN_ID:
        return RunReply(genvm_id, None)
    limiter = sources.limits.readers if wait else None
    command = GetRun(genvm_id, wait, has_outputs)
    run = sources.supervisor.ask(command, RunStatus, wait + ANSWER_GRACE, limiter).run
    status = None if run is None else FinishedRunReply.of(run, as_base64=as_base64)
    return RunReply(genvm_id, status)


def end(sources: Sources) -> ShutdownCompleted:
    """End the run; return when nothing of it is left."""
    grace = _GRACE.read() / 1000
    genvm_id = existing_id()
    command = CancelRun(genvm_id, grace)
    sources.supervisor.ask(command, RunCancelled, grace + CANCEL_SLACK, sources.limits.enders)
    return ShutdownCompleted(genvm_id)


def existing_id() -> int:
    """Return the id in the path. Raises `RunNotFound` when no run can have it."""
    genvm_id = ID.read()
    if genvm_id > MAX_RUN_ID:
        raise RunNotFound(f"GenVM with id {genvm_id} not found")
    return genvm_id


OPERATIONS = (
    Operation(
        "GET",
        "/genvm/{genvm_id}",
        "Runs",
        "Read a run, or wait for its end",
        read,
        Json(RunReply, _EXAMPLE),
        "`status` is null while the run is queued or running, and for an unknown id. Reading "
        "changes nothing: the same id gives the same answer until the run is pruned.",
        (ID, _WAIT, _BYTES, _OUTPUTS),
        errors=(
            bad_request("wait: expected a duration such as 250ms, 30s, 10.5m or 1h"),
            ErrorCase(HTTPStatus.NOT_FOUND, "The id in the path is no whole number.", NOT_FOUND),
            UNAVAILABLE,
        ),
    ),
    Operation(
        "DELETE",
        "/genvm/{genvm_id}",
        "Runs",
        "End a run",
        end,
        Json(ShutdownCompleted, {"genvm_id": _EXAMPLE_ID, "result": "shutdown_completed"}),
        "Sends SIGTERM, then SIGKILL. A queued run leaves the queue; nothing happens to a run "
        "that has finished.",
        (ID, _GRACE),
        errors=(
            bad_request(
                f"wait_timeout_ms: expected whole milliseconds up to {MAX_GRACE_MS}, got 'soon'"
            ),
            NO_RUN,
            ErrorCase(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "The run could not be ended in time.",
                "timeout during shutdown",
                _EXAMPLE_ID,
            ),
            UNAVAILABLE,
        ),
    ),
)

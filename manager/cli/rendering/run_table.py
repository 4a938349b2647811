"""The table of runs that `ps` and `top` show."""

from __future__ import annotations

import time
from collections.abc import Mapping

from genvm_manager.protocol.http_api import ExecutionReply
from genvm_manager.protocol.ipc.runs import Cause, RunState

from .formatting import NONE, size, span
from .tables import Cell, Column, Row

COLUMNS = (
    Column("ID", "right"),
    Column("STATE"),
    Column("AGE", "right"),
    Column("TIME", "right"),
    Column("CPU", "right"),
    Column("MEMORY", "right"),
    Column("PID", "right"),
    Column("VERSION"),
    Column("CAUSE"),
)

_STATES = {RunState.RUNNING: "green", RunState.FINISHED: "dim"}
_CAUSES = {Cause.EXITED: ""}


def has_ended(run: ExecutionReply) -> bool:
    """Return whether the run is finished."""
    return run.state is RunState.FINISHED


def in_order(executions: Mapping[str, ExecutionReply]) -> list[tuple[int, ExecutionReply]]:
    """Return the runs sorted by id."""
    return sorted((int(run_id), run) for run_id, run in executions.items())


def row(run_id: int, run: ExecutionReply) -> Row:
    """Return a run's row: AGE counts from its acceptance, TIME from its start."""
    now = time.time()
    cause = NONE if run.cause is None else str(run.cause)
    return (
        str(run_id),
        Cell(str(run.state), _STATES.get(run.state, "yellow")),
        span(now - run.accepted_at.timestamp()),
        span(_seconds_run(run, now)),
        span(run.cpu_seconds),
        size(run.rss_bytes),
        NONE if run.pid is None else str(run.pid),
        run.version or NONE,
        Cell(cause, "" if run.cause is None else _CAUSES.get(run.cause, "red")),
    )


def _seconds_run(run: ExecutionReply, now: float) -> float | None:
    if run.started_at is None:
        return None
    end = now if run.result is None else run.result.finished_at.timestamp()
    return end - run.started_at.timestamp()

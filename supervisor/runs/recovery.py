"""What a supervisor finds when the one before it was killed: its runs, and maybe its children."""

from __future__ import annotations

import time
from signal import Signals

import psutil

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.identity import start_ticks
from genvm_manager.base.process.proc import environment_value, signal_group, signal_process
from genvm_manager.protocol.ipc.runs import Cause
from genvm_manager.supervisor.store.reads import Unfinished
from genvm_manager.supervisor.store.store import RunStore
from genvm_manager.supervisor.store.writes import UnseenEnd
from genvm_manager.supervisor.telemetry.metrics import Metrics

from .launcher import RUN_TOKEN
from .rules_stop_sequence import REAP_TIMEOUT

_PAUSE = 0.01


async def finish_lost_runs(store: RunStore, metrics: Metrics, log: EventLog) -> None:
    """End what still lives of unfinished runs, then record their ends.

    A run whose result had arrived has run; the others are lost. Raises `StoreFailed`.
    """
    unfinished = store.reads.unfinished()
    if store.is_same_place:
        _end_survivors(store.instance, unfinished, log)
    if not unfinished:
        return
    ends = [_unseen_end(run) for run in unfinished]
    await store.finish_unseen(ends, time.time())
    for end, run in zip(ends, unfinished, strict=True):
        metrics.unseen_end(end.cause)
        log.warning("run_finished", run=end.id, cause=end.cause.value, result=run.has_result)


def _unseen_end(run: Unfinished) -> UnseenEnd:
    if run.has_result:
        reason = "its result had arrived; the supervisor ended before it saw the end of this run"
        return UnseenEnd(run.id, Cause.EXITED, reason)
    return UnseenEnd(run.id, Cause.LOST, "the supervisor ended without seeing the end of this run")


def _end_survivors(instance: str, unfinished: list[Unfinished], log: EventLog) -> None:
    """Blocks until they are gone: nothing else goes on yet."""
    for run in unfinished:
        if run.pid is not None and start_ticks(run.pid) == run.start_ticks:
            signal_group(run.pid, Signals.SIGKILL)
    deadline = time.monotonic() + REAP_TIMEOUT
    while survivors := _survivors(instance, unfinished):
        if time.monotonic() > deadline:
            log.error("processes_survive_sigkill", pids=survivors)
            return
        for pid in survivors:
            signal_process(pid, Signals.SIGKILL)
        time.sleep(_PAUSE)


def _survivors(instance: str, unfinished: list[Unfinished]) -> list[int]:
    """Living processes that carry one of our tokens, or are on record by pid and start."""
    recorded = {(run.pid, run.start_ticks) for run in unfinished if run.pid is not None}
    found = []
    for process in psutil.process_iter(["status"]):
        token = environment_value(process.pid, RUN_TOKEN) or ""
        is_ours = token.startswith(f"{instance}.")
        if not is_ours and recorded:
            is_ours = (process.pid, start_ticks(process.pid)) in recorded
        if is_ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found

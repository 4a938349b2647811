"""Finish the runs of a supervisor that was killed, and end what still lives of them."""

from __future__ import annotations

import time
from collections.abc import Collection
from signal import Signals

import psutil

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.identity import ProcessIdentity
from genvm_manager.base.process.killing import KILL_TIMEOUT, kill_until_gone, signal_group
from genvm_manager.base.process.proc import environment_value
from genvm_manager.protocol.ipc.runs import Cause
from genvm_manager.supervisor.store.reads import Unfinished
from genvm_manager.supervisor.store.store import RunStore
from genvm_manager.supervisor.store.writes import UnseenEnd
from genvm_manager.supervisor.telemetry.metrics import Metrics

from .launcher import RUN_TOKEN


async def finish_lost_runs(store: RunStore, metrics: Metrics, log: EventLog) -> None:
    """End what still lives of unfinished runs, then record their ends. Raise `StoreFailed`.

    A run whose result had arrived is recorded as exited, the others as lost. This blocks the event
    loop, on which nothing else goes on yet.
    """
    unfinished = store.reads.unfinished()
    # A store that was copied, or found after a reboot, names processes that are not there.
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
    recorded = {
        ProcessIdentity(run.pid, run.start_ticks)
        for run in unfinished
        if run.pid is not None and run.start_ticks is not None
    }
    for executor in recorded:
        # While it lives, or is a zombie, its group's number is its own.
        if ProcessIdentity.of(executor.pid) == executor:
            signal_group(executor.pid, Signals.SIGKILL)
    if left := kill_until_gone(lambda: _kill_survivors(instance, recorded), KILL_TIMEOUT):
        log.error("processes_survive_sigkill", pids=left)


def _kill_survivors(instance: str, recorded: Collection[ProcessIdentity]) -> list[int]:
    """Send SIGKILL to living processes that are on record or carry a token of `instance`.

    Return their pids. Their start times are read before their tokens and compared again when they
    are signalled: no pid can mean another process by then.
    """
    found = []
    for process in psutil.process_iter(["status"]):
        known = ProcessIdentity.of(process.pid)
        if known is None or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        token = environment_value(process.pid, RUN_TOKEN) or ""
        if known in recorded or token.startswith(f"{instance}."):
            known.signal(Signals.SIGKILL)
            found.append(process.pid)
    return found

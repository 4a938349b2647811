"""Finished runs by the thousand, put into a store before a supervisor opens it."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.ipc.runs import Cause, Exit, FinishedRun
from genvm_manager.supervisor.store.state_lock import HeldFolder
from genvm_manager.supervisor.store.store import RunStore
from genvm_manager.supervisor.store.writes import Accepted


def retain_runs(state_folder: Path, count: int) -> None:
    """Have `count` runs, with the ids from 1 on, finished just now."""
    state_folder.mkdir(mode=0o700, exist_ok=True)
    asyncio.run(_write(state_folder, range(1, count + 1)))


async def _write(state_folder: Path, ids: range) -> None:
    log = EventLog(logging.getLogger("supervisor"))
    held = HeldFolder(state_folder)
    store = RunStore(held, 1 << 30, asyncio.get_running_loop(), log)
    now = time.time()
    await asyncio.gather(*(store.accept(Accepted(n, None, now, "v0.2.0", 60.0)) for n in ids))
    await asyncio.gather(*(store.finish(_finished(n, now)) for n in ids))
    store.close()
    held.release()


def _finished(run_id: int, now: float) -> FinishedRun:
    return FinishedRun(
        id=run_id,
        version="v0.2.0",
        cause=Cause.EXITED,
        exit=Exit(code=0),
        reason=None,
        accepted_at=now,
        started_at=now,
        finished_at=now,
        stdout=b"",
        stderr=b"",
        genvm_log=b"[]",
        result=None,
        stdout_dropped=0,
        stderr_dropped=0,
        log_dropped=0,
        log_dropped_bytes=0,
        peak_rss=None,
        cpu_seconds=0.01,
    )

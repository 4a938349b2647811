"""What is done about once a second, whether a command comes or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from protocol.ipc import Cause

from .run import Run
from .runtime.group_commit import StoreFailed
from .runtime.sampler import PERIOD, Sample, sample
from .service import Service

_PRUNE_STEP = 100
"""Runs per transaction: between two steps others get to write."""


class Upkeep:
    """Audits the books, samples running executors, enforces their memory limit, sweeps orphans,
    prunes the store."""

    def __init__(self, service: Service, memory_limit: int, retention: float) -> None:
        """`memory_limit` in bytes for each run, `retention` in seconds for finished ones."""
        self._service = service
        self._life = service.life
        self._log = service.life.log
        self._memory_limit = memory_limit
        self._retention = retention

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(self._repeat(self._look), self._repeat(self._prune))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await work()
            except Exception:
                self._log.failure("upkeep_failed", work=work.__name__)

    async def _look(self) -> None:
        self._service.audit()
        self._life.oom_witness.look()
        self._life.reaper.sweep()
        running = [(run, run.child.pid) for run in self._service.runs if run.child]
        if not running:
            return
        samples = await asyncio.to_thread(lambda: [(run, sample(pid)) for run, pid in running])
        for run, seen in samples:
            if seen is not None:
                self._judge(run, seen)

    def _judge(self, run: Run, seen: Sample) -> None:
        run.observe(seen)
        if seen.rss > self._memory_limit and run.cause is not Cause.MEMORY:
            reason = f"used {seen.rss} bytes of memory, the limit is {self._memory_limit}"
            self._life.stop(run, Cause.MEMORY, 0, reason)

    async def _prune(self) -> None:
        before = time.time() - self._retention
        pruned = _PRUNE_STEP
        try:
            while pruned == _PRUNE_STEP:
                pruned = await self._life.store.prune(before, _PRUNE_STEP)
                self._service.history.forget(pruned, before)
            await self._life.store.shrink()
        except StoreFailed as error:
            self._log.error("prune_failed", error=str(error))

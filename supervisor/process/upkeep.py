"""What the supervisor does about once a second, whether a command comes or not."""

from __future__ import annotations

import asyncio

from genvm_manager.protocol.ipc.runs import Cause
from genvm_manager.supervisor.runs.run import Run
from genvm_manager.supervisor.runs.sampler import PERIOD, Sample, sample
from genvm_manager.supervisor.service import Service


class Upkeep:
    """Checks the invariants, samples executors and module workers, enforces the executors' memory
    limit, and kills processes that outlived their runs.
    """

    def __init__(self, service: Service, memory_limit: int) -> None:
        """`memory_limit` is in bytes, for each run."""
        self._service = service
        self._life = service.life
        self._log = service.life.log
        self._memory_limit = memory_limit

    async def run(self) -> None:
        """Repeat until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self._look()
            except Exception:
                self._log.failure("upkeep_failed", work="upkeep")

    async def _look(self) -> None:
        self._service.health.check()
        self._life.oom_monitor.look()
        self._life.reaper.sweep()
        running = [(run, run.pid) for run in self._service.runs if run.pid is not None]
        pids = [*(pid for _, pid in running), *self._service.modules.pids]
        if not pids:
            return
        seen = await asyncio.to_thread(lambda: {pid: sample(pid) for pid in pids})
        samples = {pid: each for pid, each in seen.items() if each is not None}
        self._service.modules.observe(samples)
        for run, pid in running:
            if pid in samples:
                self._judge(run, samples[pid])
        self._service.health.note_samples()

    def _judge(self, run: Run, seen: Sample) -> None:
        run.observe(seen)
        if seen.rss > self._memory_limit and run.cause is not Cause.MEMORY:
            reason = f"used {seen.rss} bytes of memory, the limit is {self._memory_limit}"
            self._life.stop(run, Cause.MEMORY, 0, reason)

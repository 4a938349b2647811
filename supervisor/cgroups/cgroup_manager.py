"""Which executor is in which cgroup, and all that waits for the kernel on the way there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.threads import started_threads

from .run_cgroup import RunCgroup, Slice

A = TypeVarTuple("A")
T = TypeVar("T")


class CgroupManager:
    """Puts executors into cgroups of their own; does nothing where there are no homes for them.

    Whoever changes cgroups needs the kernel's one lock for them, and whoever moves a process holds
    it until all processors have passed a quiet point: 16 ms, unless another was moved just before.
    Hence the thread; and hence `begin` is for executors that have lasted for a moment. In that
    moment an executor is held by what holds it without cgroups: its group, its token, the sweep.
    """

    def __init__(self, homes: tuple[Slice, ...], memory_limit: int, log: EventLog) -> None:
        """`memory_limit` in bytes for each run, where a hierarchy can bound it."""
        self._homes = homes
        self._memory_limit = memory_limit
        self._log = log
        self._thread = started_threads("cgroups", 1)
        self._made: dict[int, asyncio.Future[RunCgroup | None]] = {}

    def begin(self, pid: int, run_id: int) -> None:
        """Enclose an executor that nobody reaps before `of` has answered."""
        if self._homes:
            self._made[pid] = self._in_thread(self._enclose, pid, run_id)

    async def of(self, pid: int) -> RunCgroup | None:
        """The cgroup of an executor that has ended, once nothing is being moved there any more."""
        made = self._made.pop(pid, None)
        return None if made is None else await made

    async def is_clear(self, cgroup: RunCgroup | None) -> bool:
        """Whether nothing lives in it; kills what does."""
        if cgroup is None or not cgroup.is_populated():
            return True
        await self._in_thread(cgroup.kill)
        return False

    def discard(self, cgroup: RunCgroup) -> None:
        """Remove it, soon: nobody has to wait for that."""
        self._thread.submit(cgroup.remove)

    def close(self) -> None:
        """Wait for what is being done."""
        self._thread.shutdown()

    def _in_thread(self, work: Callable[[*A], T], *arguments: *A) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _enclose(self, pid: int, run_id: int) -> RunCgroup | None:
        cgroup = None
        try:
            cgroup = RunCgroup(self._homes, run_id, self._memory_limit)
            cgroup.attach(pid)
            self._log.debug("run_enclosed", run=run_id)
        except OSError as error:
            self._log.error("run_not_enclosed", run=run_id, error=str(error))
            if cgroup is None or cgroup.remove():
                return None
        return cgroup

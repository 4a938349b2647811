"""Moves executors into cgroups of their own, by a thread that waits for the kernel."""

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
    """Gives executors cgroups of their own; does nothing when there are no slices to put them in.

    A change to cgroups needs the kernel's one lock for them, and moving a process holds it until
    all processors have passed a quiet point: 16 ms, unless another was moved just before. That is
    why a thread does it, and why only executors are moved that have run for 50 ms. Until then an
    executor is bounded as it is without cgroups: by its group, its token and the reaper's sweep.
    """

    def __init__(self, slices: tuple[Slice, ...], memory_limit: int, log: EventLog) -> None:
        """`memory_limit` is in bytes, for each run, where a hierarchy can bound it."""
        self._slices = slices
        self._memory_limit = memory_limit
        self._log = log
        self._thread = started_threads("cgroups", 1)
        self._attaching: dict[int, asyncio.Future[RunCgroup | None]] = {}

    def attach(self, pid: int, run_id: int) -> None:
        """Begin to move an executor, which must not be reaped before `cgroup_of` has answered."""
        if self._slices:
            self._attaching[pid] = self._in_thread(self._attach, pid, run_id)

    async def cgroup_of(self, pid: int) -> RunCgroup | None:
        """Return the cgroup of an executor that has ended, or None when it was given none.

        This waits until nothing is being moved there any more.
        """
        attaching = self._attaching.pop(pid, None)
        return None if attaching is None else await attaching

    async def kill(self, cgroup: RunCgroup | None) -> bool:
        """Send SIGKILL to all that lives in a cgroup; return whether there was something."""
        if cgroup is None or not cgroup.is_populated():
            return False
        await self._in_thread(cgroup.kill)
        return True

    def discard(self, cgroup: RunCgroup) -> None:
        """Have a cgroup removed, without waiting for that."""
        self._thread.submit(cgroup.remove)

    def close(self) -> None:
        """Wait until all that was begun is done, and end the thread."""
        self._thread.shutdown()

    def _in_thread(self, work: Callable[[*A], T], *arguments: *A) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _attach(self, pid: int, run_id: int) -> RunCgroup | None:
        cgroup = None
        try:
            cgroup = RunCgroup(self._slices, run_id, self._memory_limit)
            cgroup.attach(pid)
            self._log.debug("run_cgroup_attached", run=run_id)
        except OSError as error:
            self._log.error("run_cgroup_failed", run=run_id, error=str(error))
            if cgroup is None or cgroup.remove():
                return None
        return cgroup

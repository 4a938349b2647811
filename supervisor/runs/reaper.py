"""The one place that waits for children: nothing of a run is left once it has passed here."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from dataclasses import dataclass

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.proc import (
    environment_value,
    own_children,
    reap,
    signal_group,
    signal_process,
)
from genvm_manager.protocol.ipc.runs import Exit
from genvm_manager.supervisor.cgroups.cgroup_manager import CgroupManager
from genvm_manager.supervisor.cgroups.memory import MemoryUse
from genvm_manager.supervisor.cgroups.run_cgroup import RunCgroup

from .launcher import RUN_TOKEN
from .rules_stop_sequence import REAP_TIMEOUT

_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Ending:
    """How an executor ended. `max_rss` in bytes is None where it says nothing about it; `memory`
    is None unless it was in a cgroup that bounds memory."""

    exit: Exit
    max_rss: int | None
    cpu_seconds: float
    memory: MemoryUse | None


class Reaper:
    """Knows the executors that live by pid and token, and ends what they leave behind."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, enclosures: CgroupManager, log: EventLog
    ) -> None:
        self._loop = loop
        self._enclosures = enclosures
        self._log = log
        self._session = os.getsid(0)
        self._tokens: dict[int, str] = {}

    @property
    def pids(self) -> list[int]:
        """The executors that somebody waits for."""
        return list(self._tokens)

    def adopt(self, pid: int, token: str) -> None:
        """Take charge of a child that was just started; `wait` must follow."""
        self._tokens[pid] = token

    def enclose(self, pid: int, run_id: int) -> None:
        """Put an executor into a cgroup of its own, if it has not ended yet."""
        if pid in self._tokens:
            self._enclosures.begin(pid, run_id)

    async def wait(self, pid: int, pidfd: int) -> Ending:
        """Wait until the executor ends, then end and reap its group, its cgroup and its strays.

        Takes over `pidfd` and closes it.
        """
        try:
            await self._readable(pidfd)
        finally:
            os.close(pidfd)
        # The zombie still holds its group's id, and its own: nobody else can be hit or moved.
        signal_group(pid, signal.SIGKILL)
        cgroup = await self._enclosures.of(pid)
        _, status, usage = os.wait4(pid, 0)
        del self._tokens[pid]
        await self._clear(pid, cgroup)
        return Ending(
            exit=_exit(status),
            max_rss=_own_max_rss(usage),
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            memory=None if cgroup is None else self._close(cgroup),
        )

    def close(self) -> None:
        """There are no executors any more, and will be none."""
        self._enclosures.close()

    def sweep(self) -> bool:
        """Reap adopted zombies and kill adopted processes that belong to no run under way.

        True when some of them still live. A descendant that left its group and lost its parent is
        adopted by us; as long as its run lasts, it is left alone. So is, always, what is of our
        own session: that has owners here who wait for it, and no run's process can be in it, each
        executor being started in a session of its own.
        """
        is_left = False
        for pid in own_children():
            if pid in self._tokens or self._is_of_our_session(pid):
                continue
            if reap(os.P_PID, pid) or self._belongs_to_a_run(pid):
                continue
            is_left = signal_process(pid, signal.SIGKILL) or is_left
        return is_left

    async def _readable(self, pidfd: int) -> None:
        ended = self._loop.create_future()
        self._loop.add_reader(pidfd, _settle, ended)
        try:
            await ended
        finally:
            self._loop.remove_reader(pidfd)

    def _close(self, cgroup: RunCgroup) -> MemoryUse | None:
        use = cgroup.memory_use()
        self._enclosures.discard(cgroup)
        return use

    async def _clear(self, group: int, cgroup: RunCgroup | None) -> None:
        """Kill and reap until group and cgroup are empty and no stray of an ended run lives."""
        deadline = self._loop.time() + REAP_TIMEOUT
        pause = _FIRST_PAUSE
        while not await self._enclosures.is_clear(cgroup) or self._is_something_left(group):
            if self._loop.time() > deadline:
                self._log.error("processes_survive_sigkill", group=group)
                return
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _is_something_left(self, group: int) -> bool:
        while reap(os.P_PGID, group):
            pass
        has_members = signal_group(group, signal.SIGKILL)
        return self.sweep() or has_members

    def _is_of_our_session(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self._session
        except ProcessLookupError:
            return False

    def _belongs_to_a_run(self, pid: int) -> bool:
        try:
            if os.getpgid(pid) in self._tokens or os.getsid(pid) in self._tokens:
                return True
        except ProcessLookupError:
            return False
        return environment_value(pid, RUN_TOKEN) in self._tokens.values()


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _exit(status: int) -> Exit:
    code = os.waitstatus_to_exitcode(status)
    return Exit(code=code) if code >= 0 else Exit(signal=-code)


def _own_max_rss(usage: resource.struct_rusage) -> int | None:
    """The executor's peak in bytes, or None when it may be ours.

    Until its exec a child lives in our memory, and the kernel counts that as its own: a peak no
    greater than ours says nothing.
    """
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage.ru_maxrss << 10 if usage.ru_maxrss > ours else None

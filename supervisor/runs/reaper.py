"""Reap the executors. This is the one place that waits for the supervisor's children.

psutil and asyncio never wait for them: a child that is reaped twice, or by two, gives its pid to a
strange process while somebody here still signals it.
"""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import dataclass

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.children import own_children, reap_child
from genvm_manager.base.process.killing import (
    KILL_TIMEOUT,
    ProcessGroup,
    signal_group,
    signal_process,
)
from genvm_manager.base.process.on_event_loop import kill_until_gone, wait_for_end
from genvm_manager.base.process.proc import environment_value, session_of
from genvm_manager.protocol.ipc.runs import Exit
from genvm_manager.supervisor.cgroups.cgroup_manager import CgroupManager
from genvm_manager.supervisor.cgroups.memory import MemoryUse
from genvm_manager.supervisor.cgroups.run_cgroup import RunCgroup

from .launcher import RUN_TOKEN


@dataclass(frozen=True, slots=True)
class Ending:
    """How an executor ended.

    `max_rss` in bytes is None where the kernel's figure says nothing about the executor; `memory`
    is None unless it was in a cgroup that bounds memory.
    """

    exit: Exit
    max_rss: int | None
    cpu_seconds: float
    memory: MemoryUse | None


class Reaper:
    """Knows the living executors by pid and token, reaps them and ends what they leave behind."""

    def __init__(self, cgroups: CgroupManager, log: EventLog) -> None:
        self._cgroups = cgroups
        self._log = log
        self._session = os.getsid(0)
        self._tokens: dict[int, str] = {}

    @property
    def pids(self) -> list[int]:
        """The executors that are not reaped yet."""
        return list(self._tokens)

    def adopt(self, pid: int, token: str) -> None:
        """Take charge of an executor that was just started; `wait` must follow."""
        self._tokens[pid] = token

    def attach(self, pid: int, run_id: int) -> None:
        """Have an executor moved into a cgroup of its own, unless it is reaped already."""
        if pid in self._tokens:
            self._cgroups.attach(pid, run_id)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to the whole group of an executor, unless it is reaped already.

        What is left of its group then gets SIGKILL anyway, and the group's number may be another's.
        """
        if pid in self._tokens:
            signal_group(pid, number)

    async def wait(self, pid: int, pidfd: int) -> Ending:
        """Wait until the executor ends, then end and reap its group, its cgroup and its strays.

        This takes over `pidfd` and closes it.
        """
        try:
            await wait_for_end(pidfd)
        finally:
            os.close(pidfd)
        # The zombie still holds its own pid and its group's: no other process can be killed, or
        # be moved into the run's cgroup, until it is reaped below.
        signal_group(pid, signal.SIGKILL)
        cgroup = await self._cgroups.cgroup_of(pid)
        group = ProcessGroup(pid)
        _, status, usage = os.wait4(pid, 0)
        del self._tokens[pid]
        await self._clear(pid, group, cgroup)
        return Ending(
            exit=Exit.of_returncode(os.waitstatus_to_exitcode(status)),
            max_rss=_own_max_rss(usage),
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            memory=None if cgroup is None else self._close(cgroup),
        )

    def close(self) -> None:
        """Let go of the cgroups' thread. There must be no executor any more, and no other later."""
        self._cgroups.close()

    def sweep(self) -> bool:
        """Reap reparented zombies and kill reparented processes that belong to no run under way.

        Return whether some of them still live. A descendant of an executor that left its group and
        lost its parent becomes our child; as long as its run lasts, it is left alone. Children in
        our own session are always left alone: other code here waits for them, and no run's process
        can be in it, since each executor is started in a session of its own.
        """
        is_left = False
        for pid in own_children():
            if pid in self._tokens or session_of(pid) == self._session:
                continue
            if reap_child(pid) or self._belongs_to_a_run(pid):
                continue
            is_left = signal_process(pid, signal.SIGKILL) or is_left
        return is_left

    def _close(self, cgroup: RunCgroup) -> MemoryUse | None:
        use = cgroup.memory_use()
        self._cgroups.discard(cgroup)
        return use

    async def _clear(self, pid: int, group: ProcessGroup, cgroup: RunCgroup | None) -> None:
        """Kill and reap until group and cgroup are empty and no stray of an ended run lives."""

        async def kill() -> bool:
            is_populated = await self._cgroups.kill(cgroup)
            has_members = group.kill()
            return self.sweep() or has_members or is_populated

        if await kill_until_gone(kill, KILL_TIMEOUT):
            self._log.error("processes_survive_sigkill", group=pid)

    def _belongs_to_a_run(self, pid: int) -> bool:
        try:
            if os.getpgid(pid) in self._tokens or os.getsid(pid) in self._tokens:
                return True
        except ProcessLookupError:
            return False
        return environment_value(pid, RUN_TOKEN) in self._tokens.values()


def _own_max_rss(usage: resource.struct_rusage) -> int | None:
    """Return the executor's peak in bytes, or None when it may be ours.

    Until its exec a child lives in our memory, and the kernel counts that as its own: a peak no
    greater than ours says nothing.
    """
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage.ru_maxrss << 10 if usage.ru_maxrss > ours else None

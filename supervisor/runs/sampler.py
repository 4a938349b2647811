"""Samples of the executors that run: memory and processor time."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from genvm_manager.base.process.proc import children_of, kernel_oom_kills

PERIOD = 1.0
"""Seconds between two samples."""

_MOST_PROCESSES = 256


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes of memory and seconds of processor time of an executor and its descendants."""

    rss: int
    cpu_seconds: float


def sample(pid: int) -> Sample | None:
    """Sample `pid` and its descendants. Return None when it is gone."""
    rss = 0
    cpu_seconds = 0.0
    found = False
    waiting = [pid]
    for _ in range(_MOST_PROCESSES):
        if not waiting:
            break
        current = waiting.pop()
        try:
            process = psutil.Process(current)
            with process.oneshot():
                rss += process.memory_info().rss
                times = process.cpu_times()
        except psutil.Error:
            continue
        cpu_seconds += times.user + times.system
        found = True
        waiting += children_of(current)
    return Sample(rss, round(cpu_seconds, 2)) if found else None


class OomMonitor:
    """Tells whether the kernel has killed for want of memory in the last one or two periods."""

    def __init__(self) -> None:
        self._before = self._latest = kernel_oom_kills()

    def look(self) -> None:
        """Note the kernel's count. Call it once a period."""
        self._before, self._latest = self._latest, kernel_oom_kills()

    def has_killed(self) -> bool:
        """Return whether the kernel has killed a process since the period before this one."""
        return kernel_oom_kills() > self._before

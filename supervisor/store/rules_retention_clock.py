"""The clock by which retained runs age. It survives restarts and ignores the wall clock.

It counts seconds of uptime, also those between two supervisors of the same boot. Time while the
machine is off does not count, since only the wall clock knows it: runs are rather kept longer than
shorter.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """The clock's time at an uptime, which is in seconds since the boot, suspension included."""

    seconds: float
    boot_id: str
    uptime: float


class RetentionClock:
    """Continues from a mark. Times are in seconds."""

    def __init__(self, mark: Mark, newest: float, boot_id: str, uptime: float) -> None:
        """`newest`: the last time on record; the clock never shows an earlier one."""
        passed = uptime - mark.uptime if mark.boot_id == boot_id else 0.0
        self._base = max(mark.seconds + max(0.0, passed), newest)
        self._boot_id = boot_id
        self._origin = uptime

    def at(self, uptime: float) -> float:
        """Return the time at an uptime."""
        return self._base + max(0.0, uptime - self._origin)

    def mark(self, uptime: float) -> Mark:
        """Return the mark to record."""
        return Mark(self.at(uptime), self._boot_id, uptime)

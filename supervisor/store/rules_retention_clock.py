"""The clock by which retained runs age: it goes on over restarts, and heeds no wall clock.

It counts the seconds of the store's life. While the same boot lasts they go on between two
supervisors, too. How long a machine was off nobody can tell who does not believe its wall clock:
that time does not count, so that runs are kept longer rather than shorter.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """What the clock showed when; `uptime` is in seconds since the boot, suspension included."""

    seconds: float
    boot_id: str
    uptime: float


class RetentionClock:
    """Goes on from a mark. Times are seconds of the store's life."""

    def __init__(self, mark: Mark, newest: float, boot_id: str, uptime: float) -> None:
        """`newest`: the last time that is on record; the clock shows no earlier one."""
        passed = uptime - mark.uptime if mark.boot_id == boot_id else 0.0
        self._base = max(mark.seconds + max(0.0, passed), newest)
        self._boot_id = boot_id
        self._origin = uptime

    def at(self, uptime: float) -> float:
        """Return the time at a moment after the start."""
        return self._base + max(0.0, uptime - self._origin)

    def mark(self, uptime: float) -> Mark:
        """Return what is to be put on record."""
        return Mark(self.at(uptime), self._boot_id, uptime)

"""The wall clock, for moments that are known by the monotonic one."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP = 0.1
"""Seconds of difference that mean that the wall clock was stepped; less comes from reading both."""


class WallClock:
    """Says moments in UTC such that what lies between two of them never depends on a step.

    After a step all moments move with it: ages that others count by their wall clock stay right.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def utc(self, moment: float) -> float:
        """Return a moment of the monotonic clock in seconds since 1970."""
        offset = self._wall() - self._monotonic()
        if abs(offset - self._offset) >= STEP:
            self._offset = offset
        return moment + self._offset


utc = WallClock().utc
"""`WallClock.utc` by this machine's clocks."""

"""How a process is stopped, as data (docs/spec/03-run-request.md#life).

It is asked in its own way if it has one, then by SIGTERM, then killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from signal import Signals


@dataclass(frozen=True, slots=True)
class StopStep:
    """Send `signal`, `delay` seconds after the stop was asked for."""

    signal: Signals
    delay: float


def stop_sequence(grace: float, after: float = 0.0) -> tuple[StopStep, ...]:
    """Return the steps: SIGTERM after `after` seconds, and SIGKILL `grace` seconds later.

    Without grace it is SIGKILL alone.
    """
    if grace <= 0:
        return (StopStep(Signals.SIGKILL, after),)
    return (StopStep(Signals.SIGTERM, after), StopStep(Signals.SIGKILL, after + grace))


class StopSchedule:
    """The stop sequences of one process that are under way, for those who wait without asyncio.

    It has no clock: all times are monotonic seconds that the caller gives. Of several sequences the
    earliest step counts, so a further one can only shorten the stop.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, Signals]] = []

    def add(self, steps: Iterable[StopStep], now: float) -> None:
        """Begin a sequence now."""
        self._due += [(now + step.delay, step.signal) for step in steps]
        self._due.sort()

    def take(self, now: float) -> Signals | None:
        """Return the next signal that is due, once, or None when none is."""
        if self._due and self._due[0][0] <= now:
            return self._due.pop(0)[1]
        return None

    def until_next(self, now: float) -> float | None:
        """Return the seconds until the next signal is due, or None when there is none left."""
        return max(0.0, self._due[0][0] - now) if self._due else None

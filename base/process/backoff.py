"""When to start a process again that died by itself, and when to give up.

`genvm-manager serve`, the supervisor and the worker pools share this policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """A policy of restarts; all times in seconds."""

    first_delay: float = 0.2
    """Delay after the first crash; it doubles with each further one in the window."""

    max_delay: float = 10.0
    window: float = 60.0
    """Crashes longer ago than this do not count."""

    max_crashes: int = 8
    """With so many crashes within the window the process is given up."""

    def next_delay(self, crashes: Sequence[float], now: float) -> float | None:
        """Return the seconds until the next start, or None to give up.

        `crashes` are the monotonic times of all known crashes, the last one included.
        """
        recent = sum(1 for at in crashes if now - at <= self.window)
        if recent >= self.max_crashes:
            return None
        return min(self.max_delay, self.first_delay * 2.0 ** max(0, recent - 1))

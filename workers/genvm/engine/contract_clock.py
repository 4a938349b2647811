"""The time that a run's contract has used: what it has to wait for is not counted."""

from __future__ import annotations

import time


class Pause:
    """Stops the contract's time within a `with` block.

    One thread at a time may enter it, and not twice; any thread may read it. Each storage read
    enters it, so it is two readings of the clock and no generator.
    """

    __slots__ = ("_state",)

    def __init__(self) -> None:
        # One tuple, since a reader may come between any two steps: seconds in all, and since when.
        self._state: tuple[float, float | None] = 0.0, None

    def __enter__(self) -> None:
        self._state = self._state[0], time.monotonic()

    def __exit__(self, *_: object) -> None:
        total, since = self._state
        assert since is not None
        self._state = total + time.monotonic() - since, None

    def seconds(self, now: float) -> float:
        """Return for how many seconds time has stood still until `now`, or a little later."""
        total, since = self._state
        return total if since is None else total + max(0.0, now - since)


class ContractClock:
    """Counts seconds from its making on, without those in `pause`."""

    def __init__(self, pause: Pause) -> None:
        self._began = time.monotonic()
        self._pause = pause

    def seconds(self) -> float:
        """Return the seconds that count so far."""
        now = time.monotonic()  # First: a thread held up here then counts too little, not too much.
        return now - self._began - self._pause.seconds(now)

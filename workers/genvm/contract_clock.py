"""The time that a run's contract has used: what the host takes for it is not counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ContractClock:
    """Counts seconds from now on, but those of `paused` and those that `waited` gives.

    One thread at a time may pause it; any may read it.
    """

    def __init__(self, waited: Callable[[], float]) -> None:
        """`waited`: how long the run has waited for others so far, in seconds."""
        self._began = time.monotonic()
        self._waited = waited
        self._paused = 0.0
        self._paused_since: float | None = None

    def seconds(self) -> float:
        """Return the seconds that count so far."""
        since, now = self._paused_since, time.monotonic()
        paused = self._paused + (0.0 if since is None else now - since)
        return now - self._began - paused - self._waited()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count what is done inside."""
        self._paused_since = began = time.monotonic()
        try:
            yield
        finally:
            paused, self._paused_since = time.monotonic() - began, None
            self._paused += paused

"""Limits on requests of one kind, so that none of them can take all threads of a worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from genvm_manager.base.errors import Unavailable

SUBSCRIBERS = 32
"""Streams of `/events`, beyond the other limits: they are for open pages, not for nodes."""

SPARE_THREADS = 16
"""Threads beyond all limits, for requests that are answered at once."""


class ConcurrencyLimiter:
    """A number of places for requests of one kind; a request without a free place gets 503."""

    def __init__(self, places: int, what: str) -> None:
        """Take the number of `places` and `what` such requests do: `wait for a run to end`."""
        self.places = places
        self._what = what
        self._free = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place. Raises `Unavailable` when none is free."""
        if not self._free.acquire(blocking=False):
            raise Unavailable(f"{self.places} requests {self._what} here already; try again later")
        try:
            yield
        finally:
            self._free.release()


class ConcurrencyLimits:
    """The limits of one worker: a half, a quarter and two eighths of its `http_threads`."""

    def __init__(self, http_threads: int) -> None:
        self.readers = ConcurrencyLimiter(max(1, http_threads // 2), "wait for a run to end")
        self.starters = ConcurrencyLimiter(max(1, http_threads // 4), "wait for a run to start")
        self.enders = ConcurrencyLimiter(max(1, http_threads // 8), "wait for a run to be ended")
        self.transfers = ConcurrencyLimiter(max(1, http_threads // 8), "send or receive much data")
        self.subscribers = ConcurrencyLimiter(SUBSCRIBERS, "follow the status")

    @property
    def threads(self) -> int:
        """Return how many threads a worker needs for all places of the limits."""
        limiters = (self.readers, self.starters, self.enders, self.transfers, self.subscribers)
        return SPARE_THREADS + sum(limiter.places for limiter in limiters)

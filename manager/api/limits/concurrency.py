"""How a worker's threads are shared out, so that one kind of request cannot take them all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from genvm_manager.base.errors import Unavailable

SUBSCRIBERS = 32
"""Streams of `/events` beyond all that: they are for people's open pages, not for nodes."""

SPARE_THREADS = 16
"""Threads beyond all shares: for what is answered at once, whatever else goes on."""


class ConcurrencyLimiter:
    """A number of places for requests of one kind. Who finds none is told to come again."""

    def __init__(self, places: int, what: str) -> None:
        """`what` such requests do, as in `wait for a run to end`."""
        self.places = places
        self._what = what
        self._free = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place. Raises `Unavailable` when none is free."""
        if not self._free.acquire(blocking=False):
            raise Unavailable(f"{self.places} requests {self._what} here already; come again")
        try:
            yield
        finally:
            self._free.release()


class ConcurrencyLimits:
    """The shares of one worker with `http_threads` threads: a half, a quarter, and two eighths."""

    def __init__(self, http_threads: int) -> None:
        self.readers = ConcurrencyLimiter(max(1, http_threads // 2), "wait for a run to end")
        self.starters = ConcurrencyLimiter(max(1, http_threads // 4), "wait for a run to start")
        self.enders = ConcurrencyLimiter(max(1, http_threads // 8), "wait for a run to be ended")
        self.transfers = ConcurrencyLimiter(max(1, http_threads // 8), "send or take in much")
        self.subscribers = ConcurrencyLimiter(SUBSCRIBERS, "follow the status")

    @property
    def threads(self) -> int:
        """How many threads a worker needs to keep what the shares promise."""
        shares = (self.readers, self.starters, self.enders, self.transfers, self.subscribers)
        return SPARE_THREADS + sum(share.places for share in shares)

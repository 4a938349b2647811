"""Telling those who watch `Status` that there is something new in it."""

from __future__ import annotations

import asyncio
import contextlib

from genvm_manager.base.errors import Unavailable
from genvm_manager.protocol.limits import MAX_WAIT

PERIOD = 0.25
"""Seconds between two tellings: what changes in the meantime is told at once."""


class Changes:
    """Counts the tellings, and wakes those who wait for the next one."""

    def __init__(self) -> None:
        self.revision = 1
        """Grows with each telling; who knows nothing yet knows 0."""

        self._told = asyncio.Event()
        self._told_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def note(self) -> None:
        """Something is not as it was. Cheap: many notes share one telling."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._told_at + PERIOD, self._tell)

    async def beyond(self, known: int, wait: float) -> None:
        """Return when there is more than `known`, or after `wait` seconds.

        Raises `Unavailable` when we stop.
        """
        told = self._told
        if self.revision == known and wait > 0 and not self._is_closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), min(wait, MAX_WAIT))
        if self._is_closed:
            raise Unavailable("the supervisor is shutting down")

    def close(self) -> None:
        """Let nobody wait any more."""
        self._is_closed = True
        self._wake()

    def _tell(self) -> None:
        self._timer = None
        self._told_at = asyncio.get_running_loop().time()
        self.revision += 1
        self._wake()

    def _wake(self) -> None:
        self._told.set()
        self._told = asyncio.Event()

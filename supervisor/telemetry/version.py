"""The version of the status, and the clients that wait for a newer one."""

from __future__ import annotations

import asyncio
import contextlib

from genvm_manager.base.errors import Unavailable
from genvm_manager.protocol.limits import MAX_WAIT

PERIOD = 0.25
"""Least seconds between two revisions: all changes in between are one."""


class StatusVersion:
    """Counts the revisions of the status, and wakes the clients that wait for the next one."""

    def __init__(self) -> None:
        self.revision = 1
        """Increases with each change; a client that knows none yet says 0."""

        self._published = asyncio.Event()
        self._published_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def advance(self) -> None:
        """Publish a new revision soon, since the status has changed. Many calls share one."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._published_at + PERIOD, self._publish)

    async def wait_for_change(self, known: int, wait: float) -> None:
        """Return when the revision is not the `known` one, or after `wait` seconds.

        Raise `Unavailable` when the supervisor stops.
        """
        published = self._published
        if self.revision == known and wait > 0 and not self._is_closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(published.wait(), min(wait, MAX_WAIT))
        if self._is_closed:
            raise Unavailable("the supervisor is shutting down")

    def close(self) -> None:
        """Wake all clients that wait, and let none wait any more."""
        self._is_closed = True
        self._wake()

    def _publish(self) -> None:
        self._timer = None
        self._published_at = asyncio.get_running_loop().time()
        self.revision += 1
        self._wake()

    def _wake(self) -> None:
        self._published.set()
        self._published = asyncio.Event()

"""All connections that a worker serves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from genvm_manager.base.logging.event_log import EventLog

from .module import Module
from .session import Frames, SessionLoop
from .stream_frames import StreamFrames

MAX_SESSIONS = 1_024
"""Connections that a worker serves at once."""


class Sessions:
    """Serves connections with a module; `changed` is called when their number has changed."""

    def __init__(self, module: Module, log: EventLog, changed: Callable[[], None]) -> None:
        self._module = module
        self._log = log
        self._changed = changed
        self._open: set[asyncio.Task[None]] = set()
        self.taken = 0
        """How many of the connections that were handed over were received so far."""

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def has_room(self) -> bool:
        """Return whether another connection may be served."""
        return self.count < MAX_SESSIONS

    def take(self, connection: socket.socket) -> None:
        """Serve a connection that was handed over; it is closed when there are too many."""
        self.taken += 1
        if self.has_room():
            self._begin(self._serve_stream(connection))
        else:
            self._log.warning("connection_refused", sessions=self.count)
            connection.close()
            self._changed()

    async def handle(self, frames: Frames) -> None:
        """Serve a connection that a listening socket has accepted, to its end."""
        await asyncio.wait({self._begin(self._serve(frames))})

    async def end_all(self) -> None:
        """Close all connections."""
        while self._open:
            for task in self._open:
                task.cancel()
            await asyncio.wait(self._open)

    def _begin(self, serving: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(serving)
        assert isinstance(task, asyncio.Task)
        self._open.add(task)
        task.add_done_callback(self._end)
        self._changed()
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        self._changed()

    async def _serve_stream(self, connection: socket.socket) -> None:
        await self._serve(await StreamFrames.of(connection))

    async def _serve(self, frames: Frames) -> None:
        await SessionLoop(frames, self._module, self._log).run()

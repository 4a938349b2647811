"""Frames on a stream socket that was handed over (docs/spec/05-modules.md#connections)."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from genvm_manager.protocol.framing import HEAD_SIZE, FrameError, StreamEnded, body_size, frame

FRAME_TIMEOUT = 60.0
"""Seconds in which a frame that has begun must be whole."""

WRITE_TIMEOUT = 60.0
"""Seconds in which the other side must read an answer."""

_LIMIT = 1 << 20


class StreamFrames:
    """One connection. Between frames it may be silent without limit, while the contract runs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, connection: socket.socket) -> StreamFrames:
        """Return the frames of a connected socket, and take the socket over."""
        return cls(*await asyncio.open_unix_connection(sock=connection, limit=_LIMIT))

    async def receive(self) -> bytes:
        """Return the next body.

        Raises `StreamEnded` when the connection ends between two frames, `FrameError` within one.
        """
        try:
            begun = await self._reader.readexactly(1)
        except (asyncio.IncompleteReadError, OSError):
            raise StreamEnded("the stream ended") from None
        try:
            async with asyncio.timeout(FRAME_TIMEOUT):
                head = begun + await self._reader.readexactly(HEAD_SIZE - 1)
                return await self._reader.readexactly(body_size(head))
        except TimeoutError:
            raise FrameError(f"a frame was not whole within {FRAME_TIMEOUT:.0f} s") from None
        except (asyncio.IncompleteReadError, OSError):
            raise FrameError("the stream ended within a frame") from None

    async def send(self, body: bytes) -> None:
        """Send a body. Raises `FrameError` when the other side is gone or does not read."""
        try:
            self._writer.write(frame(body))
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._writer.drain()
        except (TimeoutError, OSError) as error:
            self._writer.transport.abort()
            raise FrameError(f"an answer could not be sent: {error}") from None

    async def close(self) -> None:
        """Wait until all is sent, and close the connection."""
        self._writer.close()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._writer.wait_closed()
        self._writer.transport.abort()

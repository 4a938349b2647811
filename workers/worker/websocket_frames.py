"""Frames as messages of a WebSocket, and the server that accepts such connections.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import asyncio
import http
import logging
import socket
from collections.abc import Awaitable, Callable

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.framing import MAX_FRAME, FrameError, StreamEnded

from .stream_frames import WRITE_TIMEOUT

HELLO_TIMEOUT = 30.0
"""Seconds in which a client must send its hello: anyone may have opened the connection."""

_HANDSHAKE_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 5.0

_log = logging.getLogger(__name__)


class WebSocketFrames:
    """One connection: a binary message is a frame's body."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._is_known = False

    async def receive(self) -> bytes:
        """Return the next body; wait for the first one for `HELLO_TIMEOUT` seconds only.

        Raises `StreamEnded`, `FrameError` or `MalformedMessage`.
        """
        try:
            async with asyncio.timeout(None if self._is_known else HELLO_TIMEOUT):
                message = await self._connection.recv()
        except TimeoutError:
            raise FrameError(f"no hello came within {HELLO_TIMEOUT:.0f} s") from None
        except ConnectionClosed as end:
            if end.sent is not None and end.sent.code == 1009:
                raise FrameError(f"a message is longer than {MAX_FRAME} bytes") from None
            raise StreamEnded("the connection ended") from None
        if isinstance(message, str):
            raise MalformedMessage("expected a binary message, got text")
        self._is_known = True
        return message

    async def send(self, body: bytes) -> None:
        """Send a body. Raises `FrameError` when the other side is gone or does not read."""
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._connection.send(body)
        except (TimeoutError, ConnectionClosed) as error:
            self._connection.transport.abort()
            raise FrameError(f"an answer could not be sent: {error}") from None

    async def close(self) -> None:
        """Wait until all is sent, and close the connection."""
        await self._connection.close()


async def listen(
    listening: socket.socket,
    handle: Callable[[WebSocketFrames], Awaitable[None]],
    has_room: Callable[[], bool],
) -> Server:
    """Accept connections from a listening socket, as long as there is room for another one.

    Browsers are refused by the `Origin` that only they send: a web page must not prompt.
    """

    async def take(connection: ServerConnection) -> None:
        await handle(WebSocketFrames(connection))

    def admit(connection: ServerConnection, _: Request) -> Response | None:
        if has_room():
            return None
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "too many connections\n")

    # Port scanners and the like send anything in place of a handshake: no log line for each.
    _log.setLevel(logging.CRITICAL)
    # No pings: an executor that runs a contract does not answer them; TCP notices dead machines.
    return await serve(
        take,
        sock=listening,
        origins=[None],
        process_request=admit,
        compression=None,
        max_size=MAX_FRAME,
        max_queue=1,
        ping_interval=None,
        open_timeout=_HANDSHAKE_TIMEOUT,
        close_timeout=_CLOSE_TIMEOUT,
        server_header=None,
        logger=_log,
    )

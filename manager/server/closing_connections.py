"""Connections that have had their last reply."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any

CLOSE_GRACE = 2.0
"""Seconds for a client to close its side too, so that it surely receives our last reply."""

MAX_CLOSING = 256
"""Connections that may wait for their clients to close them; then the oldest are cut off."""


class ClosingConnections:
    """Closes connections without cutting off their last reply.

    When a socket is closed while bytes of the client are unread, the kernel answers with a reset,
    and the client may lose a reply that it has not read yet. So our side is shut down first, and
    what the client still sends is read and dropped until it closes its side, or time is up.
    """

    def __init__(self) -> None:
        """Hold none yet."""
        self._waiting: deque[Any] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, conn: Any, poller: selectors.BaseSelector) -> None:
        """Shut a connection of gunicorn's down, and have `poller` tell of its client's end."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            conn.close()
            return
        conn.timeout = time.monotonic() + CLOSE_GRACE
        self._waiting.append(conn)
        on_readable = partial(self._drop_received, conn, poller)
        poller.register(conn.sock, selectors.EVENT_READ, on_readable)

    def close_overdue(self, poller: selectors.BaseSelector) -> None:
        """Close those whose time is up, and the oldest when there are too many."""
        now = time.monotonic()
        while self._waiting:
            oldest = self._waiting[0]
            if oldest.timeout > now and len(self._waiting) <= MAX_CLOSING:
                break
            self._close(oldest, poller)

    def _drop_received(self, conn: Any, poller: selectors.BaseSelector, client: Any) -> None:
        with suppress(BlockingIOError):
            if not receive(client):
                self._close(conn, poller)

    def _close(self, conn: Any, poller: selectors.BaseSelector) -> None:
        self._waiting.remove(conn)
        poller.unregister(conn.sock)
        conn.close()


def receive(client: socket.socket) -> bytes:
    """Return what has come; empty at the end of the stream, and after an error of the connection.

    Raises `BlockingIOError` when nothing has come yet.
    """
    try:
        return client.recv(1 << 16)
    except BlockingIOError:
        raise
    except OSError:
        return b""

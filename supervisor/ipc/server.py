"""The supervisor's Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.files.identity import inode
from genvm_manager.base.logging.event_log import EventLog

from .connection import Connection
from .operations import Operation

MAX_CLIENTS = 4_096
_BACKLOG = 1_024
_CLOSE_TIMEOUT = 1.0


class Server:
    """Listens, and bounds the number of connections."""

    def __init__(
        self, operations: Mapping[type, Operation[Any, Any]], log: EventLog, max_frame: int
    ) -> None:
        """`operations` by their commands; `max_frame` bounds a command, in bytes."""
        self._operations = operations
        self._log = log
        self._max_frame = max_frame
        self._connections: set[Connection] = set()
        self._all_gone = asyncio.Event()
        self._path: Path | None = None
        self._inode: tuple[int, int] | None = None
        self._listener: asyncio.Server | None = None

    async def listen(self, path: Path) -> None:
        """Listen at `path`, and replace a socket that a dead supervisor has left there.

        May be called again when the socket was removed or replaced: clients that are connected stay
        connected. Raise `OSError`.
        """
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(path))
            os.chmod(path, 0o600)
            found = inode(path)
        except OSError:
            listening.close()
            raise
        before, self._path, self._inode = self._listener, path, found
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_unix_server(
            self._connection, sock=listening, backlog=_BACKLOG
        )
        if before is not None:
            before.close()

    async def listen_again(self) -> None:
        """Listen at the same path again, and replace what is there. Raise `OSError`."""
        assert self._path is not None
        await self.listen(self._path)

    def is_in_place(self) -> bool:
        """Return whether the socket at the path is this server's."""
        return self._path is not None and inode(self._path) == self._inode

    async def close(self) -> None:
        """Accept no more clients, wait for the last replies, then close all connections."""
        if self._listener is not None:
            self._listener.close()
        if self._path is not None and self.is_in_place():
            self._path.unlink(missing_ok=True)
        pending = [each.task for each in self._connections if each.task is not None]
        if pending:
            await asyncio.wait(pending, timeout=_CLOSE_TIMEOUT)
        for connection in self._connections:
            connection.hang_up()
        if self._connections:
            self._all_gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), _CLOSE_TIMEOUT)
        for connection in list(self._connections):
            connection.abort()

    def _connection(self) -> Connection:
        connection = Connection(self._operations, self._log, self._max_frame, self._gone)
        if len(self._connections) >= MAX_CLIENTS:
            connection.refusal = Unavailable(f"{MAX_CLIENTS} clients are connected, no more may")
        self._connections.add(connection)
        return connection

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()

"""The Unix socket on which the supervisor is asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.files.identity import inode
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.supervisor.service import Service

from .connection import Connection

MAX_CLIENTS = 4_096
_BACKLOG = 1_024
_CLOSE_TIMEOUT = 1.0


class Server:
    """Listens, and keeps the connections within bounds."""

    def __init__(self, service: Service, log: EventLog, max_frame: int) -> None:
        """`max_frame` bounds a command, in bytes."""
        self._service = service
        self._log = log
        self._max_frame = max_frame
        self._connections: set[Connection] = set()
        self._all_gone = asyncio.Event()
        self._path: Path | None = None
        self._inode: tuple[int, int] | None = None
        self._listener: asyncio.Server | None = None

    async def listen(self, path: Path) -> None:
        """Be there for clients at `path`; a socket left there by a dead one is replaced.

        Called again when what is there is not ours any more: whoever is connected stays connected.
        Raises `OSError`.
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
        """Listen where we did, in place of whatever is there now. Raises `OSError`."""
        assert self._path is not None
        await self.listen(self._path)

    def is_in_place(self) -> bool:
        """Return whether clients that come find us."""
        return self._path is not None and inode(self._path) == self._inode

    async def close(self) -> None:
        """Take no more clients, let the last replies out, hang up."""
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
        connection = Connection(self._service, self._log, self._max_frame, self._gone)
        if len(self._connections) >= MAX_CLIENTS:
            connection.refusal = Unavailable(f"{MAX_CLIENTS} clients are connected, no more may")
        self._connections.add(connection)
        return connection

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()

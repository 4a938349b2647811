"""The API's way to the supervisor: a pool of blocking connections to its Unix socket."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from genvm_manager.base.errors import ManagerError, Unavailable
from genvm_manager.manager.ipc_client.connection import ANSWER_GRACE, Connection, ConnectionLost
from genvm_manager.protocol.ipc.commands import Command, WatchStatus
from genvm_manager.protocol.ipc.replies import Failure, Reply
from genvm_manager.protocol.ipc.status import Status

from .limits.concurrency import ConcurrencyLimiter

R = TypeVar("R", bound=Reply)

CANCEL_SLACK = 20.0
"""Seconds beyond a run's grace for SIGKILL to work and for the end to be recorded."""

MAX_IDLE = 32
"""Connections kept open for the next command; further ones are closed after use."""

_STOPPING = "this service is shutting down"


class SupervisorClient:
    """Sends commands to the supervisor for many threads, each on a connection of its own.

    When the supervisor is back after a restart, the next command connects anew. An instance belongs
    to the process that made it: make it after the fork.
    """

    def __init__(
        self,
        socket_path: Path,
        *,
        client: str,
        caller: Callable[[], socket.socket | None] = lambda: None,
    ) -> None:
        """`client` is shown in the supervisor's log. `caller` returns the socket of the HTTP client
        whose request the present thread serves: the thread stops waiting when it hangs up.
        """
        self._path = socket_path
        self._client = client
        self._caller = caller
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._closed = False

    def ask(
        self,
        command: Command,
        kind: type[R],
        timeout: float = ANSWER_GRACE,
        limiter: ConcurrencyLimiter | None = None,
        *,
        is_repeatable: bool = True,
    ) -> R:
        """Return the supervisor's reply, which is a `kind`, within `timeout` seconds.

        `limiter` bounds how many commands that wait long there are at once. A command that is not
        repeatable is never sent again once the supervisor may have acted on it. Raises the error
        that the supervisor answered, and `Unavailable` while it cannot be reached.
        """
        try:
            with limiter.place() if limiter else nullcontext():
                reply = self._exchange(command, timeout, is_repeatable)
        except ConnectionLost:
            if self._closed:
                raise Unavailable(_STOPPING) from None
            raise
        if isinstance(reply, Failure):
            raise reply.error()
        if not isinstance(reply, kind):
            raise ManagerError(f"the supervisor answered {type(reply).__name__}")
        return reply

    def watch_status(self, known: int, wait: float) -> Status:
        """Return the status, when it has another revision than `known` or after `wait` seconds."""
        return self.ask(WatchStatus(known, wait), Status, wait + ANSWER_GRACE)

    def close(self) -> None:
        """Make every call, those that wait included, raise `Unavailable` at once."""
        self._closed = True
        for connection in list(self._open):
            connection.abort()
        self._drop_idle()

    def _exchange(self, command: Command, timeout: float, is_repeatable: bool) -> Reply:
        """Try an idle connection first; when it is dead, all idle ones are taken for dead."""
        if self._closed:
            raise Unavailable(_STOPPING)
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._send(self._connect(), command, timeout)
        try:
            return self._send(kept, command, timeout)
        except ConnectionLost as lost:
            if self._closed or (lost.sent and not is_repeatable):
                raise
        self._drop_idle()
        return self._send(self._connect(), command, timeout)

    def _send(self, connection: Connection, command: Command, timeout: float) -> Reply:
        try:
            reply = connection.ask(command, timeout, self._caller())
        except BaseException:
            self._forget(connection)
            raise
        if len(self._idle) < MAX_IDLE and not self._closed:
            self._idle.append(connection)
        else:
            self._forget(connection)
        return reply

    def _connect(self) -> Connection:
        connection = Connection(self._path, self._client)
        self._open.add(connection)
        if self._closed:
            connection.abort()
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    def _drop_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._forget(self._idle.pop())

"""One client: frames in, one command at a time, frames out."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from genvm_manager.base.errors import BadRequest, ManagerError, Unavailable
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol import __version__
from genvm_manager.protocol.framing import FrameError, FrameParser, frame
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.commands import Command, Hello
from genvm_manager.protocol.ipc.replies import Failure, Reply, Welcome

from .operations import Operation

FRAME_TIMEOUT = 10.0
"""Seconds within which a frame that has begun, or the first one, must be complete."""

WRITE_TIMEOUT = 60.0
"""Seconds within which a client must take a reply."""

_CREDENTIALS = struct.Struct("3i")


class Connection(asyncio.Protocol):
    """Serves one client. Calls `gone` once, when the connection has ended."""

    def __init__(
        self,
        operations: Mapping[type, Operation[Any, Any]],
        log: EventLog,
        max_frame: int,
        gone: Callable[[Connection], None],
    ) -> None:
        self._operations = operations
        self._log = log
        self._gone = gone
        self.refusal: ManagerError | None = None
        """Why this client cannot be served; set before the connection is made."""
        self._loop = asyncio.get_running_loop()
        self._parser = FrameParser(max_frame)
        self._is_greeted = False
        self._operation: Operation[Any, Any] | None = None
        self._frame_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport
        self._is_made = False
        self.task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse another user's process, and expect the first frame of any other."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._is_made = True
        uid = _peer_uid(transport)
        if uid not in (0, os.geteuid()):
            self._log.warning("client_refused", uid=uid)
            transport.abort()
        elif self.refusal is not None:
            self.refuse(self.refusal)
        else:
            self._expect_frame()

    def data_received(self, data: bytes) -> None:
        """Carry out the commands that have arrived in full."""
        try:
            for body in self._parser.feed(data):
                self._take(body)
        except FrameError as error:
            self.refuse(BadRequest(f"command: {error}"))
            return
        if self._parser.idle and self._is_greeted:
            self._stop_expecting()
        elif self._frame_timer is None:
            self._expect_frame()

    def connection_lost(self, _: Exception | None) -> None:
        """Cancel an operation that ends with its client."""
        self._stop_expecting()
        self.resume_writing()
        if self.task is not None and self._operation and self._operation.ends_with_client:
            self.task.cancel()
        self._gone(self)

    def pause_writing(self) -> None:
        """Give the client, which does not read, some time."""
        self._write_timer = self._loop.call_later(WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # ---------------------------------------------------------------------------- commands

    def hang_up(self) -> None:
        """Close once all replies are out. Refuse a connection that is not made yet."""
        if self._is_made:
            self.transport.close()
        else:
            self.refusal = Unavailable("the supervisor is shutting down", 5)

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._is_made:
            self.transport.abort()

    def refuse(self, error: ManagerError) -> None:
        """Reply with an error, then close."""
        self._send(Failure.of(error))
        self.transport.close()

    def _take(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        try:
            command = codec.decode_command(body)
        except BadRequest as error:
            self.refuse(error)
            return
        if isinstance(command, Hello):
            self._greet(command)
        elif not self._is_greeted:
            self.refuse(BadRequest("command: Hello comes first"))
        elif self.task is not None:
            self.refuse(BadRequest("command: the one before it is not answered yet"))
        else:
            self._operation = self._operations[type(command)]
            self.task = self._loop.create_task(self._answer(self._operation, command))

    def _greet(self, hello: Hello) -> None:
        if hello.version != codec.VERSION:
            self.refuse(
                BadRequest(
                    f"the supervisor speaks version {codec.VERSION} of its protocol, {hello.client}"
                    f" speaks {hello.version}: restart both from one installation"
                )
            )
            return
        self._is_greeted = True
        self._send(Welcome(codec.VERSION, f"genvm-manager {__version__}", os.getpid()))

    async def _answer(self, operation: Operation[Any, Any], command: Command) -> None:
        reply: Reply
        try:
            reply = await operation.carry_out(command)
        except ManagerError as error:
            reply = Failure.of(error)
        except Exception:
            self._log.failure("command_failed", command=type(command).__name__)
            reply = Failure("internal", "internal error; the supervisor's log says more")
        self.task = None
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        if not self.transport.is_closing():
            self.transport.write(frame(codec.encode(reply)))

    def _expect_frame(self) -> None:
        self._frame_timer = self._loop.call_later(FRAME_TIMEOUT, self._frame_is_late)

    def _stop_expecting(self) -> None:
        if self._frame_timer is not None:
            self._frame_timer.cancel()
            self._frame_timer = None

    def _frame_is_late(self) -> None:
        self._frame_timer = None
        self.refuse(BadRequest(f"command: not whole within {FRAME_TIMEOUT:g} s"))


def _peer_uid(transport: asyncio.Transport) -> int:
    connection = transport.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])

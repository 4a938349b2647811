"""One client: frames in, one command at a time, frames out."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable

from genvm_manager.base.errors import BadRequest, ManagerError, Unavailable
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol import __version__
from genvm_manager.protocol.framing import FrameError, FrameParser, frame
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.commands import Command, Hello
from genvm_manager.protocol.ipc.replies import Failure, Reply, Welcome
from genvm_manager.supervisor.service import Service

from .handlers import HANDLERS, Handler

FRAME_TIMEOUT = 10.0
"""Seconds in which a frame that has begun, or the first one, must be whole."""

WRITE_TIMEOUT = 60.0
"""Seconds in which a client must take in a reply."""

_CREDENTIALS = struct.Struct("3i")


class Connection(asyncio.Protocol):
    """Serves one client. `gone` is called once, when the connection has ended."""

    def __init__(
        self,
        service: Service,
        log: EventLog,
        max_frame: int,
        gone: Callable[[Connection], None],
    ) -> None:
        self._service = service
        self._log = log
        self._gone = gone
        self.refusal: ManagerError | None = None
        """Set before the connection is made: why this client cannot be served."""
        self._loop = asyncio.get_running_loop()
        self._parser = FrameParser(max_frame)
        self._is_greeted = False
        self._handler: Handler | None = None
        self._frame_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport
        self._is_made = False
        self.task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
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
        self._stop_expecting()
        self.resume_writing()
        if self.task is not None and self._handler is not None and self._handler.only_waits:
            self.task.cancel()
        self._gone(self)

    def pause_writing(self) -> None:
        self._write_timer = self._loop.call_later(WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # ---------------------------------------------------------------------------- commands

    def hang_up(self) -> None:
        """Close once all replies are out. One that is only about to be made is refused then."""
        if self._is_made:
            self.transport.close()
        else:
            self.refusal = Unavailable("the supervisor is shutting down", 5)

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._is_made:
            self.transport.abort()

    def refuse(self, error: ManagerError) -> None:
        """Say why, then hang up."""
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
            self._handler = HANDLERS[type(command)]
            self.task = self._loop.create_task(self._answer(self._handler, command))

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

    async def _answer(self, handler: Handler, command: Command) -> None:
        reply: Reply
        try:
            reply = await handler.handle(self._service, command)
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

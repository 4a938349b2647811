"""The connection between a pool and one of its workers: messages, some with descriptors.

It is a Unix socketpair that carries frames of MessagePack. When the pool's end of it is closed, the
supervisor is gone.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from genvm_manager.base.validation import NOT_DECODED
from genvm_manager.protocol.framing import FrameError, FrameParser, frame

from .messages import FromWorker, ToWorker, encode

MAX_MESSAGE = 256 << 20
"""Bytes of the longest message: a check of providers with its images."""

MAX_DESCRIPTORS = 16
"""Descriptors that may come with one message."""

_MAX_WAITING = 4_096
"""Messages that may wait for the other side to read; with more the connection is closed."""

_CHUNK = 1 << 16

M = TypeVar("M")


@dataclass(slots=True)
class _Outgoing:
    """An outgoing message: what is still to be sent of it, and descriptors that go along.

    The kernel attaches descriptors to bytes: they are sent with the first bytes of the message, and
    the receiver takes them from a queue when it has the whole message. That keeps their order.
    """

    rest: memoryview
    descriptors: list[int]

    def close(self) -> None:
        """Close the descriptors; once they are sent, the receiver has its own copies."""
        while self.descriptors:
            os.close(self.descriptors.pop())


class Channel(Generic[M]):
    """One side of the connection, on the running event loop."""

    def __init__(
        self,
        connection: socket.socket,
        decode: Callable[[bytes], M],
        receive: Callable[[M, list[socket.socket]], None],
        lost: Callable[[], None],
    ) -> None:
        """Take over `connection` and begin to receive.

        `receive` gets each message with the sockets that came along, which it has to close. `lost`
        is called once: when the other side is gone, does not read, or sends what `decode` refuses.
        """
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._decode = decode
        self._receive = receive
        self._lost = lost
        self._parser = FrameParser(MAX_MESSAGE)
        self._descriptors: deque[int] = deque()
        self._outgoing: deque[_Outgoing] = deque()
        self._is_open = True
        self._sends_nothing = False
        connection.setblocking(False)
        self._loop.add_reader(connection, self._read)

    def send(self, message: ToWorker | FromWorker, descriptors: Sequence[int] = ()) -> None:
        """Send a message with descriptors, which are closed here once they are sent.

        Nothing is sent to a side that is gone. Raises `FrameError` for a message that is too long.
        """
        outgoing = _Outgoing(memoryview(frame(encode(message))), list(descriptors))
        size = len(outgoing.rest)
        if self._sends_nothing or size > MAX_MESSAGE:
            outgoing.close()
            if size > MAX_MESSAGE:
                raise FrameError(f"a message of {size} bytes is too long")
            return
        self._outgoing.append(outgoing)
        if len(self._outgoing) > _MAX_WAITING:
            self._hang_up()
        elif len(self._outgoing) == 1:
            self._write()

    def drain(self) -> None:
        """Receive what the other side has sent before it ended."""
        while self._is_open and self._read():
            pass

    async def flush(self, timeout: float) -> None:
        """Wait until all is sent, for `timeout` seconds at most."""
        deadline = self._loop.time() + timeout
        while self._is_open and self._outgoing and self._loop.time() < deadline:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Close the connection; legal at any time, and more than once."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._connection)
        self._stop_sending()
        self._connection.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _read(self) -> bool:
        """Read once; return False when there is nothing to read now."""
        try:
            room = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
            received, ancillary, flags, _ = self._connection.recvmsg(
                _CHUNK, room, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return False
        except OSError:
            self._hang_up()
            return False
        self._descriptors.extend(_descriptors_in(ancillary))
        if not received or flags & socket.MSG_CTRUNC:
            self._hang_up()
            return False
        try:
            for body in self._parser.feed(received):
                self._take(body)
        except (FrameError, *NOT_DECODED):
            self._hang_up()
        return self._is_open

    def _take(self, body: bytes) -> None:
        if not self._is_open:
            return
        message = self._decode(body)
        count = getattr(message, "descriptors", 0)
        if count > len(self._descriptors):
            raise FrameError("a message came without its descriptors")
        taken = [self._descriptors.popleft() for _ in range(count)]
        self._receive(message, [socket.socket(fileno=descriptor) for descriptor in taken])

    def _write(self) -> None:
        try:
            while self._outgoing:
                self._send_some(self._outgoing[0])
                if not self._outgoing[0].rest:
                    self._outgoing.popleft()
            self._loop.remove_writer(self._connection)
        except BlockingIOError:
            self._loop.add_writer(self._connection, self._write)
        except (BrokenPipeError, ConnectionResetError):
            # What the other side sent before it ended is still to be read; `lost` is called at
            # the end of that.
            self._stop_sending()
        except OSError:
            self._hang_up()

    def _stop_sending(self) -> None:
        self._sends_nothing = True
        self._loop.remove_writer(self._connection)
        for message in self._outgoing:
            message.close()
        self._outgoing.clear()

    def _send_some(self, message: _Outgoing) -> None:
        rights = array.array("i", message.descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
        sent = self._connection.sendmsg([message.rest[:_CHUNK]], ancillary)
        message.close()
        message.rest = message.rest[sent:]

    def _hang_up(self) -> None:
        if self._is_open:
            self.close()
            self._lost()


def _descriptors_in(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return found.tolist()

"""The connection between a pool and one of its workers: messages, with descriptors beside them.

A Unix socketpair that carries frames of MessagePack. When the pool's side of it has ended, the
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
"""That come with one message."""

_MAX_WAITING = 4_096
"""Messages that may wait for the other side to read; it is cut off then."""

_CHUNK = 1 << 16

M = TypeVar("M")


@dataclass(slots=True)
class _Parcel:
    """What is still to be sent of a message; its descriptors leave with its first byte."""

    rest: memoryview
    descriptors: list[int]

    def close(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


class Channel(Generic[M]):
    """One side of the connection, on the running event loop; it takes over the socket.

    `receive` gets each message with the sockets that came along, which it owns then. `lost` is
    called once when the other side is gone, does not read, or says what is not understood.
    """

    def __init__(
        self,
        connection: socket.socket,
        decode: Callable[[bytes], M],
        receive: Callable[[M, list[socket.socket]], None],
        lost: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._decode = decode
        self._receive = receive
        self._lost = lost
        self._parser = FrameParser(MAX_MESSAGE)
        self._descriptors: deque[int] = deque()
        self._outgoing: deque[_Parcel] = deque()
        self._is_open = True
        self._is_unheard = False
        connection.setblocking(False)
        self._loop.add_reader(connection, self._read)

    def send(self, message: ToWorker | FromWorker, descriptors: Sequence[int] = ()) -> None:
        """Send a message, and close the descriptors that it takes along once they are sent.

        To a side that is gone nothing is sent. Raises `FrameError` for a message that is too long.
        """
        parcel = _Parcel(memoryview(frame(encode(message))), list(descriptors))
        size = len(parcel.rest)
        if self._is_unheard or size > MAX_MESSAGE:
            parcel.close()
            if size > MAX_MESSAGE:
                raise FrameError(f"a message of {size} bytes is too long")
            return
        self._outgoing.append(parcel)
        if len(self._outgoing) > _MAX_WAITING:
            self._hang_up()
        elif len(self._outgoing) == 1:
            self._write()

    def drain(self) -> None:
        """Receive what the other side sent before it ended."""
        while self._is_open and self._read():
            pass

    async def flush(self, timeout: float) -> None:
        """Wait until all is sent, but at most `timeout` seconds."""
        deadline = self._loop.time() + timeout
        while self._is_open and self._outgoing and self._loop.time() < deadline:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Legal at any time, and more than once."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._connection)
        self._stop_sending()
        self._connection.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _read(self) -> bool:
        """Read once; False when there is nothing to read now."""
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
            # What it sent before it ended is still to be read; the end of that says it is gone.
            self._stop_sending()
        except OSError:
            self._hang_up()

    def _stop_sending(self) -> None:
        self._is_unheard = True
        self._loop.remove_writer(self._connection)
        for parcel in self._outgoing:
            parcel.close()
        self._outgoing.clear()

    def _send_some(self, parcel: _Parcel) -> None:
        rights = array.array("i", parcel.descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
        sent = self._connection.sendmsg([parcel.rest[:_CHUNK]], ancillary)
        parcel.close()
        parcel.rest = parcel.rest[sent:]

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

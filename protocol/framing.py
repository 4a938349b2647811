"""Frames on a stream: a length as u32 big-endian, then that many bytes.

Source: docs/spec/05-modules.md#connections.

One form for the supervisor's socket and for the modules. Both kinds of reader take a maximum size,
checked before anything is allocated, and a deadline.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

MAX_FRAME = 64 << 20
"""The default limit of a frame's body, in bytes."""

_LENGTH = struct.Struct(">I")
HEAD_SIZE = _LENGTH.size
"""Bytes of the length that stands before each body."""


class FrameError(Exception):
    """The stream ended inside a frame, or a frame is longer than allowed: close the connection."""


class StreamEnded(FrameError):
    """The stream ended between two frames: the other side is done."""


def frame(body: bytes) -> bytes:
    """Return `body` with its length before it. Raises `FrameError` beyond what u32 can say."""
    if len(body) > 0xFFFFFFFF:
        raise FrameError(f"a frame cannot hold {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


def body_size(head: bytes, max_size: int = MAX_FRAME) -> int:
    """Return what a frame's head announces, in bytes. Raises `FrameError` beyond `max_size`."""
    size: int = _LENGTH.unpack(head)[0]
    if size > max_size:
        raise FrameError(f"a frame of {size} bytes is announced, the limit is {max_size}")
    return size


def send_frame(connection: socket.socket, body: bytes) -> None:
    """Send one frame over a blocking socket; `OSError` when the other side is gone."""
    if len(body) > 1 << 16:
        connection.sendall(_LENGTH.pack(len(body)))
        connection.sendall(body)
    else:
        connection.sendall(frame(body))


def receive_frame(
    connection: socket.socket, *, timeout: float | None, max_size: int = MAX_FRAME
) -> bytes:
    """Return the next frame's body from a blocking socket.

    `timeout` seconds bound the whole frame, None waits for ever. Raises `StreamEnded`,
    `FrameError`, `TimeoutError` or `OSError`.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    head = _receive_exactly(connection, HEAD_SIZE, deadline, at_boundary=True)
    return _receive_exactly(connection, body_size(head, max_size), deadline, at_boundary=False)


def _receive_exactly(
    connection: socket.socket, size: int, deadline: float | None, *, at_boundary: bool
) -> bytes:
    buffer = bytearray()
    while len(buffer) < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the frame did not arrive in time")
            connection.settimeout(left)
        else:
            connection.settimeout(None)
        part = connection.recv(min(size - len(buffer), 1 << 20))
        if not part:
            if at_boundary and not buffer:
                raise StreamEnded("the stream ended")
            raise FrameError(f"the stream ended {size - len(buffer)} bytes before the frame did")
        buffer += part
    return bytes(buffer)


class FrameParser:
    """Turns a byte stream into frames' bodies, whatever parts it arrives in: for event loops."""

    def __init__(self, max_size: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._max_size = max_size

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield each body that is complete once `received` is appended; `FrameError` if too long.

        The announced length is checked as soon as it is known, before the body is taken in.
        """
        self._buffer += received
        while len(self._buffer) >= HEAD_SIZE:
            end = HEAD_SIZE + body_size(bytes(self._buffer[:HEAD_SIZE]), self._max_size)
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEAD_SIZE:end])
            del self._buffer[:end]
            yield body

    @property
    def idle(self) -> bool:
        """True between frames: an end of the stream here cuts nothing off."""
        return not self._buffer

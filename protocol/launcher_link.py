"""What `serve` shares with HTTP, whose parent it is: how ready all is, and sockets made anew."""

from __future__ import annotations

import array
import os
import socket
from dataclasses import dataclass

from .readiness import Readiness


@dataclass(frozen=True, slots=True)
class ServeLink:
    """`readiness` and `listeners` are None where HTTP runs without `serve`.

    `listeners` carries a listening Unix socket for each one that had to be made again.
    """

    readiness: Readiness | None = None
    listeners: socket.socket | None = None

    @classmethod
    def inherited(cls, readiness: int | None, listeners: int | None) -> ServeLink:
        """Return the link that these descriptors are. Raises `OSError` for others."""
        for descriptor in (readiness, listeners):
            if descriptor is not None:
                os.set_inheritable(descriptor, False)
        brought = None
        if listeners is not None:
            brought = socket.socket(fileno=listeners)
            # Python ignores the flags that `socket.recv_fds` is given.
            brought.setblocking(False)
        return cls(None if readiness is None else Readiness(readiness), brought)

    def offered(self) -> socket.socket | None:
        """Return the newest listening socket that was made since the last call."""
        newest = None
        while self.listeners is not None:
            try:
                _, descriptors, _, _ = socket.recv_fds(self.listeners, 1, 1)
            except BlockingIOError:
                break
            if not descriptors:
                break
            if newest is not None:
                newest.close()
            newest = socket.socket(fileno=descriptors[0])
        return newest


def offer(listeners: socket.socket, listener: socket.socket) -> None:
    """Send a listening socket to HTTP, which takes it at its next reload. Raises `OSError`."""
    socket.send_fds(listeners, [b"\0"], array.array("i", [listener.fileno()]))

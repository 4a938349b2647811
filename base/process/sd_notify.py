"""Telling the service manager that started this process, by sd_notify(3), about its state."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress


def sd_notify(address: str | None, message: str, descriptors: Sequence[int] = ()) -> None:
    """Send assignments, one a line, to the socket that NOTIFY_SOCKET named; None: do nothing.

    Never waits: a message for which the socket has no room is lost, as are all errors.
    """
    if not address:
        return
    # A first "@" stands for the zero byte of an abstract socket.
    path = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.setblocking(False)
        speaker.connect(path)
        if descriptors:
            socket.send_fds(speaker, [message.encode()], descriptors)
        else:
            speaker.send(message.encode())

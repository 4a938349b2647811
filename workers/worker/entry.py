"""Where a worker process begins. A pool imports this file too, and not what a worker needs."""

from __future__ import annotations

import socket

from .identity import Identity


def enter(control: socket.socket, identity: Identity) -> None:
    """The whole life of a worker."""
    from .worker import work  # noqa: PLC0415 - only the new process pays for it

    work(control, identity)

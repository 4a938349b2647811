"""The first function of a worker process.

A pool imports this file too, so what only a worker needs is not imported at its top.
"""

from __future__ import annotations

import socket

from .identity import Identity


def enter(control: socket.socket, identity: Identity) -> None:
    """Run a worker to its end; `control` is its connection to the pool."""
    from .worker import work  # noqa: PLC0415 - only the new process needs it

    work(control, identity)

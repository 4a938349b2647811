"""Where a worker process begins. A pool imports this file too, and not what a worker needs."""

from __future__ import annotations

import socket
from typing import NamedTuple


class Identity(NamedTuple):
    """What a worker shows of itself: `name` is `llm` or `web`, `place` the state folder."""

    name: str
    place: str


def enter(control: socket.socket, identity: Identity) -> None:
    """The whole life of a worker."""
    from .worker import work  # noqa: PLC0415 - only the new process pays for it

    work(control, identity)

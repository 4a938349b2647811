"""What a worker still has when the system gives it no more descriptors."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from typing import Any

from .closing_connections import receive
from .gunicorn_errors import answer_error

REFUSAL_WAIT = 0.05
"""Seconds for the request of a client that is refused for want of descriptors."""


class SpareDescriptor:
    """One descriptor that is given up for a moment, so that a client is refused and does not wait.

    A connection that cannot be accepted stays in the listener's queue, where its client would wait
    until its own time is up.
    """

    def __init__(self) -> None:
        """Take one. Raises `OSError` when there is none even now."""
        self._descriptor: int | None = _take()

    def refuse_one(self, listener: Any, reason: OSError) -> None:
        """Accept the next connection, answer 503 because of `reason`, and close it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                if select.select([client], [], [], REFUSAL_WAIT)[0]:
                    # Bytes that are unread at the end would have the kernel cut the answer off.
                    receive(client)
                answer_error(client, reason)
                client.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            self._descriptor = _take()


def _take() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

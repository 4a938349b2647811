"""The request to stop that a run gets by SIGTERM, from when its process begins.

Source: docs/spec/04-executor.md#stopping.

Importing what a run needs takes most of its start, so this imports next to nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The run was told to stop while it waited."""


class StopRequest:
    """Notes SIGTERM, and ends a wait of the main thread by it. Elsewhere nothing is interrupted."""

    def __init__(self) -> None:
        self._is_requested = False
        self._is_waiting = False

    def listen(self) -> None:
        """Note SIGTERM from now on. Call it on the main thread."""
        signal.signal(signal.SIGTERM, self._request)

    def interruptible(self, wait: Callable[[], T]) -> T:
        """Return what `wait` does. Raises `Stopped` as soon as the stop is or was requested."""
        self._is_waiting = True
        try:
            if self._is_requested:
                raise Stopped
            return wait()
        finally:
            self._is_waiting = False

    def _request(self, *_: object) -> None:
        self._is_requested = True
        if self._is_waiting:
            self._is_waiting = False  # A second signal must not interrupt what the first has begun.
            raise Stopped


STOP = StopRequest()
"""That of this process."""

"""What asks the service to stop, and how urgently: signals, or the end of its parent."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

from .parent import Parent

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

AT_ONCE = 3
"""So many signals, or the parent's end, mean that nothing is waited for."""


class StopSignals:
    """While it is entered, the three signals do nothing but count; enter it in the main thread."""

    def __init__(self, parent: Parent | None = None) -> None:
        """The end of `parent`, if given, counts as `AT_ONCE` signals."""
        self._parent = parent
        self._signals = 0
        self._previous: dict[signal.Signals, Any] = {}
        self._reader = self._writer = -1

    def __enter__(self) -> StopSignals:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    @property
    def count(self) -> int:
        """How many signals there were; at least `AT_ONCE` when the parent is gone."""
        if self._parent is not None and self._parent.is_gone:
            return max(AT_ONCE, self._signals)
        return self._signals

    @property
    def descriptors(self) -> list[int]:
        """One of them is readable when `count` has grown since the last `acknowledge`."""
        if self._parent is None or self._parent.is_gone:
            return [self._reader]
        return [self._reader, self._parent.descriptor]

    def acknowledge(self) -> None:
        """Make `descriptors` unreadable until `count` grows again."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        with suppress(BlockingIOError):
            os.write(self._writer, b"\0")

"""What asks the service to stop, and how urgently, or to reload: signals, the end of its parent."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

from genvm_manager.base.process.parent import Parent
from genvm_manager.base.process.signals import heeded, is_ignored

AT_ONCE = 3
"""So many signals, or the parent's end, mean that nothing is waited for."""


class StopSignals:
    """While it is entered, SIGINT, SIGTERM and SIGHUP do nothing but count; enter it in the main
    thread. SIGINT stays ignored where it was, as it is for a background job of a script.

    The end of a child counts for nothing, but makes `descriptors` readable.

    SIGHUP counts only when it says that the terminal is gone from which this process was started.
    Any other is a request to reload, as daemons take it; so are all for a process whose starter had
    SIGHUP ignored, which is what `nohup` does.
    """

    def __init__(self, parent: Parent | None = None) -> None:
        """The end of `parent`, if given, counts as `AT_ONCE` signals."""
        self._parent = parent
        self._signals = 0
        self._is_reload_asked = False
        self._stops_with_terminal = False
        self._previous: dict[signal.Signals, Any] = {}
        self._reader = self._writer = -1

    def __enter__(self) -> StopSignals:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stops_with_terminal = _has_terminal() and not is_ignored(signal.SIGHUP)
        counted = (*heeded(signal.SIGINT), signal.SIGTERM, signal.SIGHUP)
        self._previous = {number: signal.signal(number, self._note) for number in counted}
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._wake)
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

    def take_reload(self) -> bool:
        """Whether a reload was asked for since this was last called."""
        is_asked, self._is_reload_asked = self._is_reload_asked, False
        return is_asked

    @property
    def descriptors(self) -> list[int]:
        """One of them is readable when something was asked for since the last `acknowledge`."""
        if self._parent is None or self._parent.is_gone:
            return [self._reader]
        return [self._reader, self._parent.descriptor]

    def acknowledge(self) -> None:
        """Make `descriptors` unreadable until something is asked for again."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        is_hang_up = self._stops_with_terminal and not _has_terminal()
        if number == signal.SIGHUP and not is_hang_up:
            self._is_reload_asked = True
        else:
            self._signals += 1
        self._wake()

    def _wake(self, *_: object) -> None:
        with suppress(BlockingIOError):
            os.write(self._writer, b"\0")


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal. At a hang-up the kernel takes it away before
    anybody is told."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True

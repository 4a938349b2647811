"""Requests to stop a service, and how urgently, or to reload it: signals, its parent's end."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

from genvm_manager.base.process.parent import Parent
from genvm_manager.base.process.signals import heeded
from genvm_manager.base.process.terminal import Terminal

AT_ONCE = 3
"""From this number of signals on, and after the parent's end, the stop waits for nothing."""


class StopSignals:
    """Counts SIGINT, SIGTERM and SIGHUP while it is entered, which must be in the main thread.

    SIGINT stays ignored where it was, as in a background job of a script. The end of a child is not
    counted, but makes `descriptors` readable.

    SIGHUP is counted only when the terminal from which this process was started is gone. Otherwise
    it is a request to reload, as for all daemons; so is each SIGHUP under `nohup`, which has it
    ignored.
    """

    def __init__(self, parent: Parent | None = None) -> None:
        """Count the end of `parent`, if given, as `AT_ONCE` signals."""
        self._parent = parent
        self._signals = 0
        self._is_reload_asked = False
        self._terminal: Terminal | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._reader = self._writer = -1

    def __enter__(self) -> StopSignals:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._terminal = Terminal()
        counted = (*heeded(signal.SIGINT), signal.SIGTERM, signal.SIGHUP)
        self._previous = {number: signal.signal(number, self._count) for number in counted}
        # The command line holds it until here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    @property
    def count(self) -> int:
        """The number of signals so far; at least `AT_ONCE` when the parent is gone."""
        if self._parent is not None and self._parent.is_gone:
            return max(AT_ONCE, self._signals)
        return self._signals

    def take_reload(self) -> bool:
        """Return whether a reload was asked for since this was last called."""
        is_asked, self._is_reload_asked = self._is_reload_asked, False
        return is_asked

    @property
    def descriptors(self) -> list[int]:
        """Descriptors of which one is readable if something came since the last `acknowledge`."""
        if self._parent is None or self._parent.is_gone:
            return [self._reader]
        return [self._reader, self._parent.descriptor]

    def acknowledge(self) -> None:
        """Make `descriptors` unreadable until something comes again."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def _count(self, number: int, _frame: FrameType | None) -> None:
        is_hang_up = self._terminal is not None and self._terminal.has_hung_up
        if number == signal.SIGHUP and not is_hang_up:
            self._is_reload_asked = True
        else:
            self._signals += 1
        self._wake()

    def _wake(self, *_: object) -> None:
        with suppress(BlockingIOError):
            os.write(self._writer, b"\0")

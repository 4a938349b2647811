"""Reads keys at once, without waiting for Enter."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

END = "\x04"
"""Ctrl-D, or the end of the terminal."""


class Keyboard:
    """The terminal of stdin, while the context of `keyboard` is entered."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def key(self, within: float) -> str:
        """Return the key that is pressed within so many seconds, else an empty text.

        Return `END` at the end of the input.
        """
        ready, _, _ = select.select([self._descriptor], [], [], within)
        return (os.read(self._descriptor, 1).decode("latin-1") or END) if ready else ""


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Read single keys while the context is entered; restore the terminal afterwards."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

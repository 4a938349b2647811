"""Readers of an executor's pipes on the event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

_CHUNK = 1 << 16


class PipeReader:
    """Passes what arrives on a pipe to `sink`, until the end of the stream. Owns the descriptor."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, sink: Callable[[bytes], None]
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._sink = sink
        self._is_open = True
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._read)

    def drain(self, until: float) -> bool:
        """Read what has been written by now. Return True when the stream has ended.

        Stop at `until`, a monotonic time, if a process writes without end.
        """
        while self._is_open and self._read() and time.monotonic() < until:
            pass
        return not self._is_open

    def close(self) -> None:
        """Stop reading. May be called at any time."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _read(self) -> bool:
        """Read once. Return False when there is nothing to read now."""
        try:
            received = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if received:
            self._sink(received)
        else:
            self.close()
        return True

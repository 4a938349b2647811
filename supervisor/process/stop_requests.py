"""What asks the supervisor to stop, and how urgently."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import Literal

from genvm_manager.base.process.signals import heeded

SHUTDOWN_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL of a run when the supervisor stops."""

_CHUNK = 4096


class StopRequests:
    """Counts what asks us to stop; `urgent`: not to wait for runs to finish.

    `grace` is how many seconds runs then have between SIGTERM and SIGKILL.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.urgent = asyncio.Event()
        self.grace = SHUTDOWN_GRACE
        self._counts: Counter[str] = Counter()

    def ask(self, way: Literal["signal", "shim"], times: int = 1) -> None:
        """A signal, to us or to the shim: the second one by the same way is urgent.

        What is sent to a whole group, as Ctrl-C is, comes by both ways and is one request.
        """
        self._counts[way] += times
        if self._counts[way] > 1:
            self.urgent.set()
        self.asked.set()

    def insist(self) -> None:
        """The parent is gone: so should be all that we have started, without delay."""
        self.grace = 0.0
        self.urgent.set()
        self.asked.set()


def stop_requests(shim: int, parent_pipe: int | None) -> StopRequests:
    """Listen to signals that are not ignored, the shim and, if given, the parent-death pipe."""
    loop = asyncio.get_running_loop()
    stops = StopRequests()
    for number in heeded(signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stops.ask, "signal")
    for descriptor in (shim, parent_pipe):
        if descriptor is not None:
            loop.add_reader(descriptor, _heard, loop, descriptor, stops)
    return stops


def _heard(loop: asyncio.AbstractEventLoop, descriptor: int, stops: StopRequests) -> None:
    """The shim writes a byte for each signal that it gets; nobody writes on a parent-death pipe."""
    if received := os.read(descriptor, _CHUNK):
        stops.ask("shim", len(received))
    else:
        loop.remove_reader(descriptor)
        stops.insist()

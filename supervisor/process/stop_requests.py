"""What asks the supervisor to stop, and how urgently, or to reload."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import Literal

from genvm_manager.base.process.signals import heeded
from genvm_manager.base.process.terminal import Terminal

from .shim import ASK, RELOAD

SHUTDOWN_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL of a run when the supervisor stops."""

_CHUNK = 4096


class StopRequests:
    """Counts the requests to stop; `urgent`: not to wait for runs to finish.

    `reload_asked` is set by a request to reload; clear it before reloading.

    `grace` is how many seconds runs then have between SIGTERM and SIGKILL.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.reload_asked = asyncio.Event()
        self.urgent = asyncio.Event()
        self.grace = SHUTDOWN_GRACE
        self._counts: Counter[str] = Counter()

    def ask(self, way: Literal["signal", "shim"], times: int = 1) -> None:
        """Count a signal to this process or to the shim; the second one by the same way is urgent.

        A signal to the whole group, as Ctrl-C is, comes by both ways and is one request.
        """
        self._counts[way] += times
        if self._counts[way] > 1:
            self.urgent.set()
        self.asked.set()

    def insist(self) -> None:
        """Stop without any delay, and all that was started too: the parent is gone."""
        self.grace = 0.0
        self.urgent.set()
        self.asked.set()


def stop_requests(shim: int, parent_pipe: int | None) -> StopRequests:
    """Listen to signals that are not ignored, the shim and, if given, the parent-death pipe."""
    loop = asyncio.get_running_loop()
    stops = StopRequests()
    terminal = Terminal()

    def hang_up() -> None:
        if terminal.has_hung_up:
            stops.ask("signal")
        else:
            stops.reload_asked.set()

    for number in heeded(signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stops.ask, "signal")
    if heeded(signal.SIGHUP):
        loop.add_signal_handler(signal.SIGHUP, hang_up)
    # The shim had it blocked until here.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    for descriptor in (shim, parent_pipe):
        if descriptor is not None:
            loop.add_reader(descriptor, _receive, loop, descriptor, stops)
    return stops


def _receive(loop: asyncio.AbstractEventLoop, descriptor: int, stops: StopRequests) -> None:
    """Take what the shim writes, a byte for each request; nobody writes on a parent-death pipe."""
    if received := os.read(descriptor, _CHUNK):
        if RELOAD in received:
            stops.reload_asked.set()
        if asked := received.count(ASK):
            stops.ask("shim", asked)
    else:
        loop.remove_reader(descriptor)
        stops.insist()

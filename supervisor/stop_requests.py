"""What asks the supervisor to stop, and how urgently."""

from __future__ import annotations

import asyncio
import signal

from .core.ladder import SHUTDOWN_GRACE


class StopRequests:
    """Counts what asks us to stop; `urgent`: not to wait for runs to finish.

    `grace` is how many seconds runs then have between SIGTERM and SIGKILL.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.urgent = asyncio.Event()
        self.grace = SHUTDOWN_GRACE

    def ask(self) -> None:
        """A signal: the second one is urgent."""
        if self.asked.is_set():
            self.urgent.set()
        self.asked.set()

    def insist(self) -> None:
        """The parent is gone: so should be all that we have started, without delay."""
        self.grace = 0.0
        self.urgent.set()
        self.asked.set()


def stop_requests(lifeline: int | None) -> StopRequests:
    """Listen for signals and, where there is one, for the end of the lifeline."""
    loop = asyncio.get_running_loop()
    stops = StopRequests()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stops.ask)
    if lifeline is not None:
        loop.add_reader(lifeline, _lifeline_ended, loop, lifeline, stops)
    return stops


def _lifeline_ended(loop: asyncio.AbstractEventLoop, lifeline: int, stops: StopRequests) -> None:
    """Nothing is ever written on a lifeline: it can be read when it has ended."""
    loop.remove_reader(lifeline)
    stops.insist()

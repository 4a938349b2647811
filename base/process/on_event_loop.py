"""Ends of processes on an asyncio event loop: waiting for one, killing, and stop sequences."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from signal import Signals
from typing import TypeVar

from .killing import pauses
from .stop_sequence import StopStep

T = TypeVar("T")


async def wait_for_end(pidfd: int) -> None:
    """Wait until the process of `pidfd` has ended; it is not reaped, and the pidfd stays open."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)


async def kill_until_gone(kill: Callable[[], Awaitable[T]], timeout: float) -> T:
    """Do what `base.process.killing.kill_until_gone` does, on the event loop."""
    for seconds in pauses(timeout):
        if not (left := await kill()):
            return left
        await asyncio.sleep(seconds)
    return await kill()


def begin_stop(
    steps: Iterable[StopStep], send: Callable[[Signals], object]
) -> list[asyncio.TimerHandle]:
    """Send the signals of a stop sequence: what is due now at once, the rest by timers.

    Return the timers, which the caller cancels when the process has ended. A second sequence runs
    beside the first, so it can only shorten the stop.
    """
    loop = asyncio.get_running_loop()
    timers = []
    for step in steps:
        if step.delay > 0:
            timers.append(loop.call_later(step.delay, send, step.signal))
        else:
            send(step.signal)
    return timers

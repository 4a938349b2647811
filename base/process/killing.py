"""Ending processes by SIGKILL until nothing is left of them: the one loop, for all who do that.

`base.process.on_event_loop` has the same loop for asyncio. The shim imports this file, so it has to
stay small.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

KILL_TIMEOUT = 10.0
"""Seconds after SIGKILL in which a process must be gone; what survives them is reported."""

_FIRST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.05

T = TypeVar("T")


class ProcessGroup:
    """The process group that a child of ours leads.

    Make it before the child is reaped. Until then the child holds the group's number, even as a
    zombie, and afterwards each other member does; once there is none, the number may be given to
    strange processes, so `kill` sends nothing any more.
    """

    def __init__(self, leader: int) -> None:
        self._number = leader
        self._is_empty = False

    def kill(self) -> bool:
        """Reap our children in the group that have ended, and send SIGKILL to all others in it.

        Return whether the group has members left, such as zombies of other parents.
        """
        if self._is_empty:
            return False
        try:
            while os.waitid(os.P_PGID, self._number, os.WEXITED | os.WNOHANG) is not None:
                pass
        except ChildProcessError:
            pass
        self._is_empty = not signal_group(self._number, signal.SIGKILL)
        return not self._is_empty


def kill_until_gone(
    kill: Callable[[], T], timeout: float, pause: Callable[[float], object] = time.sleep
) -> T:
    """Call `kill` again and again until what it returns is false, for `timeout` seconds at most.

    `kill` reaps what has ended, sends SIGKILL to what is left, and returns that. It is called again
    since a process that dies may leave us its children. Return the last value: what survives.
    `pause` waits so many seconds, or less.
    """
    for seconds in pauses(timeout):
        if not (left := kill()):
            return left
        pause(seconds)
    return kill()


def pauses(timeout: float) -> Iterator[float]:
    """Yield how many seconds to wait before each further look, until `timeout` seconds are over.

    The first pauses are short: most processes are gone within a millisecond.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while time.monotonic() < deadline:
        yield pause
        pause = min(_LONGEST_PAUSE, 2 * pause)


def signal_process(pid: int, number: signal.Signals) -> bool:
    """Send a signal to a child that is not reaped yet, or to another process that is known.

    Return False when it is gone or not ours to signal.
    """
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def signal_group(group: int, number: signal.Signals) -> bool:
    """Send a signal to a process group; return False when it has no members, zombies included.

    A group of another PID namespace has the number 0, which to `killpg` means our own: nothing is
    sent then.
    """
    if group <= 0:
        return False
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

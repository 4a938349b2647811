"""Children that `genvm-manager serve` has not started itself.

The kernel gives them to it: what a half of the service leaves that dies together with its shim,
and, to the first process of a container, whatever loses its parent there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from contextlib import suppress

from .children import become_subreaper, own_children, reap_child
from .killing import kill_until_gone, signal_process
from .proc import session_of

TIMEOUT = 5.0
"""Seconds after SIGKILL in which a reparented child must be gone."""


class ReparentedChildren:
    """Ends the children that this process was given. It becomes a subreaper when this is made.

    For a process whose only other children are those that it names.
    """

    def __init__(self) -> None:
        become_subreaper()
        self._outsiders = frozenset(own_children())

    @property
    def can_be_seen(self) -> bool:
        """Whether /proc is that of our PID namespace; in another one's, pids mean others."""
        try:
            return os.readlink("/proc/self") == str(os.getpid())
        except OSError:
            return False

    def reap(self, own: Collection[int]) -> None:
        """Reap what has ended, except for the children in `own`, for which somebody else waits."""
        with suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in own:
                    # It hides the others until it is reaped, after which we are called again.
                    return
                os.waitpid(ended.si_pid, os.WNOHANG)

    def end(self, sessions: Collection[int]) -> list[int]:
        """Kill and reap all reparented children, and return the pids of those that survive.

        Spared are members of our own session and of `sessions`, and children that were there
        before this was made.
        """
        spared = {os.getsid(0), *sessions}
        return kill_until_gone(lambda: self._kill(spared), TIMEOUT)

    def _kill(self, spared: Collection[int]) -> list[int]:
        doomed = [child for child in self._inherited() if session_of(child) not in spared]
        left = [child for child in doomed if not reap_child(child)]
        for child in left:
            signal_process(child, signal.SIGKILL)
        return left

    def _inherited(self) -> set[int]:
        return set(own_children()) - self._outsiders if self.can_be_seen else set()

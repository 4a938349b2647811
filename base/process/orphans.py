"""What falls to `genvm-manager serve`: of a half that dies together with its own shim, and, to the
first process of a container, of everybody else there."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress

import psutil

TIMEOUT = 5.0
"""Seconds after SIGKILL in which an orphan must be gone."""

_PR_SET_CHILD_SUBREAPER = 36
_PAUSE = 0.01


class Orphans:
    """Makes this process the heir of all that descends from it. Ends what it inherits.

    For a process that has no other use for children than those it names.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
        self._outsiders = {child.pid for child in psutil.Process().children()}

    @property
    def can_be_seen(self) -> bool:
        """Whether /proc is that of our PID namespace; in another one's, pids mean others."""
        try:
            return os.readlink("/proc/self") == str(os.getpid())
        except OSError:
            return False

    def reap(self, own: Collection[int]) -> None:
        """Reap what has ended, but for the children in `own`: somebody waits for those."""
        with suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in own:
                    # It hides the others until it is reaped, after which we are called again.
                    return
                os.waitpid(ended.si_pid, os.WNOHANG)

    def end(self, sessions: Collection[int]) -> list[int]:
        """Kill and reap, until nothing is left, what is neither of our own session nor of one of
        `sessions`, nor was there before. Gives the pids of what survives that."""
        kept = {os.getsid(0), *sessions}
        deadline = time.monotonic() + TIMEOUT
        while orphans := [child for child in self._inherited() if _session(child) not in kept]:
            if time.monotonic() > deadline:
                return orphans
            for orphan in orphans:
                with suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
            time.sleep(_PAUSE)
            for orphan in orphans:
                with suppress(ChildProcessError):
                    os.waitpid(orphan, os.WNOHANG)
        return []

    def _inherited(self) -> set[int]:
        if not self.can_be_seen:
            return set()
        return {child.pid for child in psutil.Process().children()} - self._outsiders


def _session(child: int) -> int | None:
    try:
        return os.getsid(child)
    except ProcessLookupError:
        return None

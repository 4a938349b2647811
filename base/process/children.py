"""The children of this process: those that it has started and those that it was given.

The shim imports this file, so it has to stay small.
"""

from __future__ import annotations

import ctypes
import os
import signal

from .identity import contents
from .killing import signal_group, signal_process

_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Have descendants that lose their parent become our children. Raises `OSError`.

    Without this they would become children of process 1: we could neither find nor reap them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def own_children() -> list[int]:
    """Return the pids of our children, zombies and reparented ones included.

    All are children of our first thread: it starts ours, and the kernel gives it the reparented.
    """
    pid = os.getpid()
    return [int(child) for child in contents(f"/proc/self/task/{pid}/children", 1 << 20).split()]


def reap_child(pid: int) -> bool:
    """Reap a child that has ended; return False when it still runs or is no child of ours."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return False


def open_child_pidfd(pid: int) -> int:
    """Return a pidfd of a child that was just started.

    When there is none to be had the child is killed and reaped, since nobody would notice its end.
    Raises that `OSError`.
    """
    try:
        return os.pidfd_open(pid)
    except OSError:
        # The child may not lead its group yet; its pid stays its own until it is reaped here.
        signal_group(pid, signal.SIGKILL)
        signal_process(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise

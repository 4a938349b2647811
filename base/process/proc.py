"""What /proc says about processes. Questions about one that is gone are answered with None."""

from __future__ import annotations

import ctypes
import os
import signal

from .identity import contents

_PR_SET_CHILD_SUBREAPER = 36
_ENVIRONMENT_LIMIT = 256 << 10


def become_subreaper() -> None:
    """Let orphaned descendants become our children, so that we can find and reap them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def own_children() -> list[int]:
    """The pids of our children, zombies and adopted ones included.

    All are children of our first thread: it starts ours, and the kernel gives it the orphans.
    """
    pid = os.getpid()
    return [int(child) for child in contents(f"/proc/self/task/{pid}/children", 1 << 20).split()]


def children_of(pid: int) -> list[int]:
    """The pids of the children of all threads of `pid`."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [
        int(child)
        for thread in threads
        for child in contents(f"/proc/{pid}/task/{thread}/children", 1 << 16).split()
    ]


def environment_value(pid: int, name: str) -> str | None:
    """The value of `name` in the environment that `pid` was started with."""
    for entry in contents(f"/proc/{pid}/environ", _ENVIRONMENT_LIMIT).split(b"\0"):
        key, _, value = entry.partition(b"=")
        if key == name.encode():
            return os.fsdecode(value)
    return None


def kernel_oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot."""
    for line in contents("/proc/vmstat", 64 << 10).splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0


def signal_process(pid: int, number: signal.Signals) -> bool:
    """Send a signal to one process; False when it is gone or not ours to signal."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def signal_group(group: int, number: signal.Signals) -> bool:
    """Send a signal to a process group; False when it has no members, zombies included.

    0 is said of a group of another PID namespace; to `killpg` it means our own.
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


def reap(kind: int, number: int) -> bool:
    """Reap one zombie child (`os.P_PID` or `os.P_PGID`); False when there is none."""
    try:
        return os.waitid(kind, number, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return False

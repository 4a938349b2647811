"""What /proc says about processes. The answer about a process that is gone is None or empty."""

from __future__ import annotations

import os

from .identity import contents

_ENVIRONMENT_LIMIT = 256 << 10


def children_of(pid: int) -> list[int]:
    """Return the pids of the children of all threads of `pid`."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [
        int(child)
        for thread in threads
        for child in contents(f"/proc/{pid}/task/{thread}/children", 1 << 16).split()
    ]


def session_of(pid: int) -> int | None:
    """Return the session of a process, or None when there is no such process."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def environment_value(pid: int, name: str) -> str | None:
    """Return the value of `name` in the environment that `pid` was started with, or None."""
    for entry in contents(f"/proc/{pid}/environ", _ENVIRONMENT_LIMIT).split(b"\0"):
        key, _, value = entry.partition(b"=")
        if key == name.encode():
            return os.fsdecode(value)
    return None


def kernel_oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since the boot."""
    for line in contents("/proc/vmstat", 64 << 10).splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0

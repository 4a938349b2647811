"""Which process a pid means: the pid alone is given again to another process sooner or later.

Pid, start and boot together name one process for ever. psutil's `create_time` does not: it moves
with each step of the wall clock. The shim imports this: it has to stay small.
"""

from __future__ import annotations

import os
import stat

_CHUNK = 16 << 10


def start_ticks(pid: int) -> int | None:
    """Return when `pid` was created, in clock ticks since boot; None when there is no such one."""
    fields = contents(f"/proc/{pid}/stat", 4096).rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def lives(pid: int, ticks: int) -> bool:
    """Return whether the process that `start_ticks` was said of has not ended yet."""
    fields = contents(f"/proc/{pid}/stat", 4096).rpartition(b")")[2].split()
    return len(fields) > 19 and int(fields[19]) == ticks and fields[0] not in (b"Z", b"X")


def boot_id() -> str:
    """Return what changes with each boot of the machine."""
    return contents("/proc/sys/kernel/random/boot_id", 64).decode().strip()


def pid_namespace() -> int:
    """Return the inode of the namespace in which our pids count; 0 when it cannot be read."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def contents(path: str, size: int) -> bytes:
    """Return up to `size` bytes of a small file; nothing when it is none, or cannot be read."""
    try:
        # A FIFO is opened without waiting for its other end, then left alone.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        found = bytearray()
        while len(found) < size and (part := os.read(descriptor, _CHUNK)):
            found += part
        return bytes(found)
    except OSError:
        return b""
    finally:
        os.close(descriptor)

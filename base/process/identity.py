"""Which process a pid means: the system gives a pid to another process sooner or later.

Pid, start time and boot together name one process for ever. psutil's `create_time` does not: it
moves with each step of the wall clock. The shim imports this file, so it has to stay small.
"""

from __future__ import annotations

import os
import signal
import stat
from typing import NamedTuple

_CHUNK = 16 << 10


class ProcessIdentity(NamedTuple):
    """One process of this boot: its pid, and its start in clock ticks since the boot."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Return the identity of the process that has `pid` now, or None when there is none."""
        ticks = start_ticks(pid)
        return None if ticks is None else cls(pid, ticks)

    def is_alive(self) -> bool:
        """Return whether this very process has not ended yet; a zombie has."""
        fields = _stat_fields(self.pid)
        return (
            len(fields) > 19
            and int(fields[19]) == self.start_ticks
            and fields[0] not in (b"Z", b"X")
        )

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; return False when it is gone or is not ours."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            # The pidfd was opened before this comparison: when the start time is right now, the
            # pidfd is of the same process, and stays so whatever becomes of the pid.
            if start_ticks(self.pid) != self.start_ticks:
                return False
            signal.pidfd_send_signal(pidfd, number)
        except (ProcessLookupError, PermissionError):
            return False
        finally:
            os.close(pidfd)
        return True


def start_ticks(pid: int) -> int | None:
    """Return when `pid` was created, in clock ticks since boot, or None when there is no such."""
    fields = _stat_fields(pid)
    return int(fields[19]) if len(fields) > 19 else None


def boot_id() -> str:
    """Return the kernel's name of this boot, which changes whenever the machine is started."""
    return contents("/proc/sys/kernel/random/boot_id", 64).decode().strip()


def pid_namespace() -> int:
    """Return the inode of the PID namespace of this process, or 0 when it cannot be read."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def contents(path: str, size: int) -> bytes:
    """Return up to `size` bytes of a small regular file; nothing when it cannot be read."""
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


def _stat_fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; the name before may hold spaces."""
    return contents(f"/proc/{pid}/stat", 4096).rpartition(b")")[2].split()

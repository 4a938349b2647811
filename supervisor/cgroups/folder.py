"""A cgroup as the kernel shows it: a folder, of cgroups v2 or of a controller of v1.

The shim imports this file, so it has to stay small.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

from genvm_manager.base.process.identity import contents
from genvm_manager.base.process.killing import signal_process

MEMBERS = "cgroup.procs"


def write(folder: str, name: str, value: object) -> None:
    """Write `value` into a file of a cgroup. Raises `OSError`.

    With many such files the kernel lets the writer wait for milliseconds.
    """
    descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def number(folder: str, name: str, key: bytes = b"") -> int | None:
    """Return the number that a file holds, or the one behind `key` in it, or None."""
    for line in contents(f"{folder}/{name}", 16 << 10).splitlines():
        *name_in_it, value = line.split() or [b""]
        if name_in_it == key.split() and value.isdigit():
            return int(value)
    return None


def own_members(folder: str) -> list[int]:
    """Return the processes in a cgroup, without zombies and without those in cgroups below it."""
    pids = [int(pid) for pid in contents(f"{folder}/{MEMBERS}", 1 << 20).split()]
    # 0 stands for a process that this PID namespace does not know; `kill` would take it for our
    # own process group.
    return [pid for pid in pids if pid > 0]


def members(folder: str) -> list[int]:
    """Return the processes in a cgroup and below it, without zombies."""
    return [pid for path, _, _ in os.walk(folder) for pid in own_members(path)]


def is_populated(folder: str) -> bool:
    """Return whether a process lives in a cgroup or below it."""
    populated = number(folder, "cgroup.events", b"populated")
    return bool(members(folder)) if populated is None else populated == 1


def kill(folder: str) -> None:
    """Send SIGKILL to all that is in a cgroup and below it.

    Before Linux 5.14 and with v1 they are killed one by one, and a process may be forked meanwhile:
    call this again until the cgroup is not populated.
    """
    try:
        write(folder, "cgroup.kill", 1)
    except OSError:
        for pid in members(folder):
            signal_process(pid, signal.SIGKILL)


def remove(folders: Iterable[str]) -> bool:
    """Remove cgroups with those below them; return False when one holds a process and stays."""
    return not [folder for folder in folders if not _remove(folder)]


def _remove(folder: str) -> bool:
    with suppress(OSError):
        os.rmdir(folder)
        return True
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(path)
    return not os.path.exists(folder)

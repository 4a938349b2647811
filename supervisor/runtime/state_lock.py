"""One supervisor per state folder: the lock, and the note that says who holds it."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from protocol.state_folder import local_node, run_store, service_note, supervisor_lock
from protocol.timestamps import to_rfc3339


class StateFolderUnusable(Exception):
    """The folder cannot be ours; the message says why."""


class StateFolderHeld(Exception):
    """Another supervisor holds the folder; the message says which."""


class Holder(msgspec.Struct):
    """What the lock's file says."""

    pid: int
    started_at: float


def prepare_folder(folder: Path) -> None:
    """Make the folder, for nobody but us. Raises `StateFolderUnusable`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid():
            raise StateFolderUnusable(f"state folder {folder} belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            _close_to_others(folder)
    except OSError as error:
        raise _unusable(folder, error) from None


def _unusable(folder: Path, error: OSError) -> StateFolderUnusable:
    advice = "make room on its disk"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        advice = "make it writable for this user, or name another one by --state-dir"
    return StateFolderUnusable(f"state folder {folder}: {error.strerror}; {advice}")


def _close_to_others(folder: Path) -> None:
    """Tighten a folder's mode, unless it may be something like /tmp, named by mistake."""
    ours = (supervisor_lock(folder), run_store(folder), service_note(folder), local_node(folder))
    if any(folder.iterdir()) and not any(path.exists() for path in ours):
        raise StateFolderUnusable(
            f"state folder {folder} is open to others and holds files that are not ours; "
            "name a folder of its own"
        )
    folder.chmod(0o700)


def take_lock(folder: Path) -> FileLock:
    """Hold the folder until the process ends. Raises `StateFolderHeld`, `StateFolderUnusable`."""
    path = supervisor_lock(folder)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
        path.write_bytes(msgspec.json.encode(Holder(os.getpid(), time.time())))
    except Timeout:
        raise StateFolderHeld(f"state folder {folder} is held by {_holder(path)}") from None
    except OSError as error:
        raise _unusable(folder, error) from None
    return lock


def _holder(path: Path) -> str:
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return "another supervisor"
    return f"the supervisor with pid {holder.pid}, started {to_rfc3339(holder.started_at)}"

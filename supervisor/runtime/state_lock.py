"""One supervisor per state folder: the lock, and the note that says who holds it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from protocol.state_folder import supervisor_lock
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
        if folder.stat().st_uid != os.geteuid():
            raise StateFolderUnusable(f"state folder {folder} belongs to another user")
        folder.chmod(0o700)
    except OSError as error:
        raise StateFolderUnusable(f"state folder {folder}: {error.strerror}") from None


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
        raise StateFolderUnusable(f"state folder {folder}: {error.strerror}") from None
    return lock


def _holder(path: Path) -> str:
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return "another supervisor"
    return f"the supervisor with pid {holder.pid}, started {to_rfc3339(holder.started_at)}"

"""Each run's own folder for temporary files."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path

from genvm_manager.base.logging.event_log import EventLog

_MOST_SPARE = 64


class Scratch:
    """A pool of folders. One that is released empty is used again.

    Making and removing a folder for each run would wait twice for the file system's journal, which
    the store keeps busy.
    """

    def __init__(self, parent: Path, log: EventLog) -> None:
        """Empty `parent` of what a killed supervisor has left there."""
        self._parent = parent
        self._log = log
        self._spare: list[str] = []
        self._used: set[str] = set()
        self._made = 0
        self._descriptor = -1
        self._make_parent()

    def acquire(self) -> str:
        """Return the path of an empty folder that no other run uses. Raise `OSError`."""
        while self._spare:
            if _is_as_new(path := self._spare.pop()):
                break
        else:
            self._made += 1
            path = f"{self._parent}/{self._made}"
            os.mkdir(path, 0o700)
        self._used.add(path)
        return path

    def is_in_place(self) -> bool:
        """Return whether the parent folder is there, and is not a link or another folder."""
        try:
            found, ours = os.lstat(self._parent), os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def make_again(self) -> None:
        """Make all folders in use again. Raise `OSError`."""
        self._make_parent()
        self._spare.clear()
        for path in self._used:
            os.makedirs(path, 0o700, exist_ok=True)

    async def release(self, path: str) -> None:
        """Keep a folder for the next run, or remove it with its content."""
        self._used.discard(path)
        if len(self._spare) < _MOST_SPARE and _is_as_new(path):
            self._spare.append(path)
        else:
            await asyncio.to_thread(self._remove_tree, path)

    def close(self) -> None:
        """Remove the folders that are not in use."""
        while self._spare:
            self._remove_tree(self._spare.pop())
        os.close(self._descriptor)

    def _make_parent(self) -> None:
        if os.path.lexists(self._parent):
            self._remove_tree(str(self._parent))
        self._parent.mkdir(mode=0o700, exist_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        # While it is open, its inode number is not given to another folder.
        self._descriptor = os.open(self._parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def _remove_tree(self, path: str) -> None:
        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                # `rmtree` opens it first, and opening a FIFO waits for its other end.
                os.unlink(path)
                return
            shutil.rmtree(path, onerror=_open_up_and_retry)
        except FileNotFoundError:
            return
        except (OSError, RecursionError) as error:
            self._log.error("scratch_not_removed", path=path, error=str(error))


def _is_as_new(path: str) -> bool:
    try:
        found = os.lstat(path)
        return (
            stat.S_ISDIR(found.st_mode)
            and stat.S_IMODE(found.st_mode) == 0o700
            and not os.listdir(path)
        )
    except OSError:
        return False


def _open_up_and_retry(function: object, path: str, _: object) -> None:
    """Give a folder its permissions: without them, even its owner cannot list or empty it."""
    os.chmod(os.path.dirname(path), 0o700)
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    if function is not os.rmdir:
        shutil.rmtree(path)

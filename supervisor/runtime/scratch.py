"""Each run's own folder for temporary files."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path

from ..event_log import EventLog

_MOST_SPARE = 64


class Scratch:
    """Lends folders. One that comes back clean is lent again.

    Making and removing a folder for each run would wait, twice, for the file system's journal,
    which the store keeps busy.
    """

    def __init__(self, parent: Path, log: EventLog) -> None:
        """Empties `parent` of what a supervisor that was killed left there."""
        self._parent = parent
        self._log = log
        self._spare: list[str] = []
        self._made = 0
        if parent.exists():
            self._remove_tree(str(parent))
        parent.mkdir(mode=0o700, exist_ok=True)

    def lend(self) -> str:
        """The path of an empty folder that nobody else has. Raises `OSError`."""
        if self._spare:
            return self._spare.pop()
        self._made += 1
        path = f"{self._parent}/{self._made}"
        os.mkdir(path, 0o700)
        return path

    async def take_back(self, path: str) -> None:
        """Keep a folder for the next run, or remove it with what is in it."""
        if len(self._spare) < _MOST_SPARE and _is_as_new(path):
            self._spare.append(path)
        else:
            await asyncio.to_thread(self._remove_tree, path)

    def close(self) -> None:
        """Remove the folders that are lent to nobody."""
        while self._spare:
            self._remove_tree(self._spare.pop())

    def _remove_tree(self, path: str) -> None:
        try:
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
    """A folder without permissions hides what is in it, even from its owner."""
    os.chmod(os.path.dirname(path), 0o700)
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    if function is not os.rmdir:
        shutil.rmtree(path)

"""Each run's own folder for temporary files."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from ..event_log import EventLog


class Scratch:
    """Makes and removes the folders under one parent."""

    def __init__(self, parent: Path, log: EventLog) -> None:
        """Empties `parent` of what a supervisor that was killed left there."""
        self._parent = parent
        self._log = log
        if parent.exists():
            self._remove_tree(parent)
        parent.mkdir(mode=0o700, exist_ok=True)

    def make(self, run_id: int) -> str:
        """The path of a new folder. Raises `OSError`."""
        path = self.path(run_id)
        os.mkdir(path, 0o700)
        return path

    async def remove(self, run_id: int) -> None:
        """Remove a run's folder and what is in it; legal when there is none."""
        path = self.path(run_id)
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            await asyncio.to_thread(self._remove_tree, Path(path))

    def path(self, run_id: int) -> str:
        return f"{self._parent}/{run_id}"

    def _remove_tree(self, path: Path) -> None:
        try:
            shutil.rmtree(path, onerror=_open_up_and_retry)
        except (OSError, RecursionError) as error:
            self._log.error("scratch_not_removed", path=str(path), error=str(error))


def _open_up_and_retry(function: object, path: str, _: object) -> None:
    """A folder without permissions hides what is in it, even from its owner."""
    if not os.path.isdir(path) or os.path.islink(path):
        os.chmod(os.path.dirname(path), 0o700)
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    os.chmod(os.path.dirname(path), 0o700)
    if function is not os.rmdir:
        shutil.rmtree(path)

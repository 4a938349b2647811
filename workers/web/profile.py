"""The folder that a browser writes to: gone with the browser, or with the next worker's start."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

_PREFIX = "genvm-browser"
_NAME = re.compile(rf"{_PREFIX}-(?P<pid>[0-9]+)-(?P<created>[0-9]+)-.*")


def make_profile() -> Path:
    """A new, empty folder, named after this process."""
    process = psutil.Process()
    prefix = f"{_PREFIX}-{process.pid}-{_created(process)}-"
    return Path(tempfile.mkdtemp(prefix=prefix))


def remove_profile(folder: Path) -> None:
    """Remove a folder; what cannot be removed now is left to `remove_orphaned_profiles`."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_orphaned_profiles() -> None:
    """Remove the folders of processes that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        name = _NAME.fullmatch(folder.name)
        if name and not _lives(int(name["pid"]), int(name["created"])):
            remove_profile(folder)


def _lives(pid: int, created: int) -> bool:
    with suppress(psutil.Error):
        return _created(psutil.Process(pid)) == created
    return False


def _created(process: psutil.Process) -> int:
    return int(process.create_time())

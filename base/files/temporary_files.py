"""Where temporary files go on a machine that has no place for them, as a read-only container."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genvm_manager.base.errors import ManagerError

from .state_folder import temporary_files

_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - nothing is made by these names

NODE_FOLDER = "genvm-node-"
NODE_SOCKET = "host.sock"
"""The local node listens at a socket of this name in a temporary folder that begins so."""

_PREFIX = "genvm-"
_IN_USE = "in-use"
"""A file in each of our temporary folders, locked by the process that the folder is of."""

_YOUNG = 60.0
"""Seconds for which a folder may have no such file yet."""


class NoTemporaryFolder(ManagerError):
    """There is none that can be written; the message says what to do."""


def settle_temporary_files(state_folder: Path) -> None:
    """Have this process and all that it starts put temporary files into the state folder, where
    there is no other place. Call it before any library that wants one is imported.

    What commands that were killed have left in the state folder is removed.

    Raises `NoTemporaryFolder`.
    """
    if _has_usual_place():
        return
    folder = temporary_files(state_folder.absolute())
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise NoTemporaryFolder(
            f"temporary files: {', '.join(_places())} and {folder} cannot be written "
            f"({error.strerror}); make one of them writable, or set TMPDIR to a folder that is"
        ) from None
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    _remove_left(folder)


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Enter a new folder, and remove it at the end. `prefix` must begin with `genvm-`."""
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as folder,
        Path(folder, _IN_USE).open("wb") as lock,
    ):
        # A file system without locks has its folders removed by nobody else, see below.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(folder)


def _remove_left(parent: Path) -> None:
    """Remove what `temporary_folder` made for processes that are no more."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > _YOUNG:
                _remove_unless_in_use(folder)


def _remove_unless_in_use(folder: Path) -> None:
    """Remove a folder. Raises `OSError` if it is in use or not made by `temporary_folder`."""
    # Nobody else can make a link in a folder of ours, but this folder may be somebody else's.
    descriptor = os.open(folder / _IN_USE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(descriptor)


def _has_usual_place() -> bool:
    """Return whether TMPDIR or a usual folder can be written.

    `tempfile` itself would take the working directory otherwise.
    """
    try:
        return tempfile.gettempdir() in _places()
    except FileNotFoundError:
        return False


def _places() -> list[str]:
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return [*(os.path.abspath(folder) for folder in named if folder), *_USUAL]

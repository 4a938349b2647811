"""Where temporary files go on a machine that has no place for them, as a read-only container."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import ManagerError
from .state_folder import temporary_files

_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - nothing is made by these names

NODE_FOLDER = "genvm-node-"
NODE_SOCKET = "host.sock"
"""The local node listens at a socket of this name in a temporary folder that begins so."""


class NoTemporaryFolder(ManagerError):
    """There is none that can be written; the message says what to do."""


def settle_temporary_files(state_folder: Path) -> None:
    """Have this process and all that it starts put temporary files into the state folder, where
    there is no other place. Call it before any library that wants one is imported.

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


def _has_usual_place() -> bool:
    """tempfile itself would go on to the folder that we happen to be in."""
    try:
        return tempfile.gettempdir() in _places()
    except FileNotFoundError:
        return False


def _places() -> list[str]:
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return [*(os.path.abspath(folder) for folder in named if folder), *_USUAL]

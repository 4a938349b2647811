"""Opens the run store's file: checks and migrates it, and sets how it is written."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from genvm_manager.base.process.identity import boot_id

from .failure import StoreUnusable, is_damaged
from .schema import UnknownSchema, check_version, identify, migrate, settle

_WHOLE_CHECK = 256 << 20
"""Bytes of the largest file that is checked in full: a quarter of a second, some seconds when the
disk has to be read. In a larger file only the table of runs is checked, not the outputs."""

_WAL_LIMIT = 64 << 20

_LEAST_ROOM = 1 << 20
"""Bytes without which a disk counts as full."""

_SETTINGS = (
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    f"journal_size_limit = {_WAL_LIMIT}",
    # Overwriting all that is deleted with zeroes would take the disk's time. Only we can read the
    # folder.
    "secure_delete = OFF",
)


def open_store(path: Path) -> tuple[sqlite3.Connection, str, bool]:
    """Open the store for writing.

    Return the connection, the store's name, and whether the store was last used in this boot and is
    the same file as then. Raise `StoreUnusable`.
    """
    try:
        return _opened(path)
    except UnknownSchema as error:
        raise StoreUnusable(f"{path}: {error}") from None
    except sqlite3.DatabaseError as error:
        reason = f"{error}; {_advice(error, path)}"
        raise StoreUnusable(f"the run store {path} cannot be used: {reason}") from None


def _opened(path: Path) -> tuple[sqlite3.Connection, str, bool]:
    if path.exists():
        _refuse_newer(path)
    # A supervisor that was killed while it wrote a copy has left it.
    with contextlib.suppress(OSError):
        Path(f"{path}.new").unlink(missing_ok=True)
    connection = _connected(path)
    _check(connection, path)
    migrate(connection)
    name, is_same_place = identify(connection, _place(path))
    # From now on the first page of the file has its name, and its write-ahead log exists.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return connection, name, is_same_place


def reopen_store(path: Path) -> sqlite3.Connection:
    """Open a copy of the store that we have written ourselves, which has the same name.

    Raise `sqlite3.Error`.
    """
    connection = _connected(path)
    settle(connection, _place(path))
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    # A cached statement would keep a copy of all that was bound to it.
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=0
    )
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    return connection


def _place(path: Path) -> str:
    file = path.stat()
    return f"{boot_id()} {file.st_dev}:{file.st_ino}"


def _refuse_newer(path: Path) -> None:
    """Raise `UnknownSchema` for a store of a newer program, before anything is changed."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    # Other errors are found and reported by the steps that follow.
    with contextlib.closing(connection), contextlib.suppress(sqlite3.DatabaseError):
        check_version(connection)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `sqlite3.DatabaseError` for damage that would otherwise be found during the work."""
    what = "1" if path.stat().st_size <= _WHOLE_CHECK else "runs"
    found = str(connection.execute(f"PRAGMA quick_check({what})").fetchone()[0])
    if found != "ok":
        error = sqlite3.DatabaseError(f"it is damaged ({found.splitlines()[-1]})")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _advice(error: sqlite3.DatabaseError, path: Path) -> str:
    if is_damaged(error):
        return (
            "move it and the file of that name with -wal away to begin with an empty store, "
            "or bring back a copy"
        )
    # SQLite reports an I/O error when there is no room for its shared memory.
    if shutil.disk_usage(path.parent).free < _LEAST_ROOM:
        return "its disk is full: make room there"
    return "check the disk and the folder's permissions"

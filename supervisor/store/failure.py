"""What can be wrong with the run store, and what to do about it."""

from __future__ import annotations

import errno
import sqlite3

from genvm_manager.base.errors import RequestFailed

_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_READONLY: "its file or folder has become read-only: make it writable",
    sqlite3.SQLITE_CORRUPT: "runs.db is damaged: stop the service, move runs.db and runs.db-wal "
    "away, and start it with an empty store",
}
_CHECK_DISK = "check its disk"
_CODES = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_READONLY,
}
"""SQLite's codes for the system's errors on files that we write ourselves."""


class StoreUnusable(Exception):
    """The store cannot be opened; the message says why and what to do."""


class StoreFailed(RequestFailed):
    """The store refused a write or a read."""


class StoreDamaged(StoreFailed):
    """The content of the store's file is wrong. That does not pass by itself."""


def is_damaged(error: Exception) -> bool:
    """Return whether an error says that the content of the file is wrong."""
    return _primary_code(error) in _CORRUPT


def store_failure(done: str, error: Exception) -> StoreFailed:
    """Return what to raise for a store that cannot be `done`: \"read\" or \"written\"."""
    advice = _ADVICE.get(_primary_code(error), _CHECK_DISK)
    kind = StoreDamaged if is_damaged(error) else StoreFailed
    reason = error.strerror if isinstance(error, OSError) else error
    return kind(f"the state store cannot be {done}: {reason}; {advice}")


def _primary_code(error: Exception) -> int:
    """Return SQLite's primary code: extended codes have more in their upper bytes."""
    if isinstance(error, OSError):
        return _CODES.get(error.errno or 0, sqlite3.SQLITE_ERROR)
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF

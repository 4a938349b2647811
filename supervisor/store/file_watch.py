"""Notices that the run store's files were removed, replaced or cut while open, and repairs that.

An open database stays complete when its path is removed: all that is recorded is in the open files.
So it is written back as a copy. Only a file that was cut or overwritten in place is lost.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from genvm_manager.base.files.identity import Inode, inode
from genvm_manager.base.files.state_folder import run_store
from genvm_manager.base.logging.event_log import EventLog

from .failure import StoreDamaged, StoreFailed, store_failure
from .file import reopen_store
from .last_run_id import LastRunId
from .reads import StoreReader
from .state_lock import HeldFolder
from .writes import last_id

RETRY = 5.0
"""Seconds between two attempts to write the store back, each of which copies all of it."""

_HEADER = 100
_MAGIC = b"SQLite format 3\0"
_PAGE_SIZE = struct.Struct(">H")
_COUNT = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class _Header:
    """The first bytes of a database (sqlite.org/fileformat2.html): its owner and its size."""

    changes: int
    size: int
    owner: bytes

    @classmethod
    def parsed(cls, content: bytes) -> _Header | None:
        """Return None when these are not the first bytes of a database."""
        if len(content) < _HEADER or not content.startswith(_MAGIC):
            return None
        page = _PAGE_SIZE.unpack_from(content, 16)[0]
        pages = _COUNT.unpack_from(content, 28)[0]
        changes = _COUNT.unpack_from(content, 24)[0]
        return cls(changes, pages * (page if page > 1 else 1 << 16), content[68:72])

    def continues(self, before: _Header) -> bool:
        """Return whether this is a header of the same database, and no older one."""
        return self.owner == before.owner and self.changes >= before.changes


class StoreFiles:
    """The database, its write-ahead log and the last run id, as files of the state folder.

    Belongs to the writer's thread. Tells `reads` when there is another file to read, or none.
    """

    def __init__(
        self,
        held: HeldFolder,
        last_run_id: LastRunId,
        reads: StoreReader,
        log: EventLog,
    ) -> None:
        self._held = held
        path = run_store(held.path)
        # SQLite follows links when it opens the file, and puts the other files beside the target.
        self._path = path.resolve() if path.is_symlink() else path
        self._log_path = Path(f"{self._path}-wal")
        self._index_path = Path(f"{self._path}-shm")
        self._last_run_id = last_run_id
        self._reads = reads
        self._log = log
        self._descriptor = -1
        self._failed: StoreFailed | None = None
        self._retry_at = 0.0
        self._header: _Header
        self._look()

    def ensure(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return the connection to write with: the given one, or one to the store written back.

        Raise `StoreFailed` when a write would reach no disk.
        """
        if (cut := self._cut()) is not None:
            failure = StoreDamaged(cut)
            self._reads.refuse(failure)
            raise failure
        if (gone := self._gone()) is None:
            self._failed = None
            self._last_run_id.ensure()
            return connection
        self._require_folder(gone)
        if self._failed is not None and time.monotonic() < self._retry_at:
            raise self._failed
        return self._write_back(connection, gone)

    def written(self, connection: sqlite3.Connection) -> None:
        """Note that a transaction was written."""
        self._log_size = _size(self._log_path)
        if self._last_run_id.is_behind:
            # The next check finds what is wrong with that file, and writes it again; the next
            # operation finds what is wrong with the database. An error here would end the thread.
            with contextlib.suppress(OSError, sqlite3.Error):
                self._last_run_id.give(last_id(connection))

    def close(self) -> None:
        """Close the files, after the connections: closing a file drops SQLite's locks on it."""
        os.close(self._descriptor)
        self._last_run_id.close()

    # ------------------------------------------------------------------------------- what is wrong

    def _cut(self) -> str | None:
        """Return what happened to the content of the open file; None when it is right."""
        header = _Header.parsed(os.pread(self._descriptor, _HEADER, 0))
        size = os.fstat(self._descriptor).st_size
        if header is not None and header.continues(self._header) and size >= header.size:
            self._header = header
            return None
        return (
            f"{self._path.name} was cut or overwritten while it was in use, and what was recorded "
            "is lost: stop the service, bring back a copy of it or move it and the file of that "
            "name with -wal away, and start the service; ids go on"
        )

    def _gone(self) -> str | None:
        """Return which file is no longer at its path; None when all are."""
        for path, ours in self._ours():
            found = inode(path)
            if found == ours:
                continue
            if found is None:
                return f"{path.name} was removed or renamed"
            return f"{path.name} was replaced by another file"
        if _size(self._log_path) < self._log_size:
            return f"{self._log_path.name} was cut"
        return None

    def _ours(self) -> tuple[tuple[Path, Inode | None], ...]:
        """Return the three files of the database and the inodes that they must have.

        The index of the write-ahead log holds the locks: a program that opened the database with
        another index would not see ours.
        """
        return (
            (self._path, self._inode),
            (self._log_path, self._log_inode),
            (self._index_path, self._index_inode),
        )

    # --------------------------------------------------------------------------- writing it back

    def _require_folder(self, gone: str) -> None:
        """Raise `StoreFailed` when the folder is not the held one, which may come back."""
        try:
            if self._held.is_in_place():
                return
        except OSError:
            pass
        folder = f"the state folder {self._held.path} was removed, moved or replaced"
        raise StoreFailed(f"{gone}: {folder}; bring it back, or restart the service")

    def _write_back(self, connection: sqlite3.Connection, gone: str) -> sqlite3.Connection:
        if self._failed is None:
            self._log.error("store_vanished", what=gone)
        draft = Path(f"{self._path}.new")
        try:
            _copy(connection, draft)
            self._put_in_place(draft)
            renewed = reopen_store(self._path)
        except (OSError, sqlite3.Error) as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            self._retry_at = time.monotonic() + RETRY
            failure = store_failure("written back", error)
            self._failed = StoreFailed(f"{gone} while it was in use; {failure}")
            raise self._failed from None
        # SQLite does not touch the files at the path when the file that it has open is another.
        connection.close()
        os.close(self._descriptor)
        self._look()
        self._failed = None
        self._reads.renew()
        self._log.warning("store_written_back", what=gone, path=str(self._path))
        return renewed

    def _put_in_place(self, draft: Path) -> None:
        """Put the copy at the path. A file of others that is there gets another name."""
        for path, ours in self._ours():
            if (found := inode(path)) is not None and found != ours:
                path.rename(f"{path}.replaced-{found[1]}")
        os.replace(draft, self._path)
        # With the log of another database the copy would be damaged.
        for name in ("wal", "shm"):
            Path(f"{self._path}-{name}").unlink(missing_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _look(self) -> None:
        """Remember the files as they are now."""
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._inode = inode(self._path)
        self._log_inode = inode(self._log_path)
        self._index_inode = inode(self._index_path)
        header = _Header.parsed(os.pread(self._descriptor, _HEADER, 0))
        assert header is not None
        self._header = header
        self._log_size = _size(self._log_path)


def _copy(connection: sqlite3.Connection, draft: Path) -> None:
    """Write all that the connection sees to a new file."""
    draft.unlink(missing_ok=True)
    target = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.backup(target)
    finally:
        target.close()


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0

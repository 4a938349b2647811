"""One thread that writes to SQLite. Operations submitted during one commit share the next."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from genvm_manager.base.process.threads import start_thread

from .failure import StoreDamaged, StoreFailed, store_failure

T = TypeVar("T")

Operation = Callable[[sqlite3.Connection], T]
_MAX_BATCH = 256
_MAX_BATCH_BYTES = 16 << 20
"""The write-ahead log grows by one transaction, and other operations wait for it."""


class Files(Protocol):
    """The files that are written to. Both methods are called in the writer's thread."""

    def ensure(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return the connection to write with, before each transaction. Raise `StoreFailed`."""

    def written(self, connection: sqlite3.Connection) -> None:
        """Note that a transaction was written."""


class _Entry(NamedTuple):
    operation: Operation[Any]
    future: asyncio.Future[Any]
    size: int
    insists: bool


_Done = tuple[_Entry, Any, StoreFailed | None]


class GroupCommit:
    """Runs operations in its own thread, many in one transaction."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: sqlite3.Connection,
        files: Files,
        failure_changed: Callable[[str | None], None],
    ) -> None:
        """Start the thread, which owns `connection` from now on; it is in autocommit mode.

        `failure_changed` is called on the loop each time that `failure` changes.
        """
        self._loop = loop
        self._connection = connection
        self._files = files
        self._failure_changed = failure_changed
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._rest: _Entry | None = None
        self.failure: str | None = None
        """Why a write failed. None once something was written again, including the largest write
        that is submitted again: a full disk still takes small writes."""
        self._owed = 0
        self.is_damaged = False
        """Whether the content of the file is wrong, so that nothing new should be written to it."""
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        start_thread(self._thread)

    def submit(
        self, operation: Operation[T], size: int = 0, *, insists: bool = False
    ) -> asyncio.Future[T]:
        """Submit an operation. The future has its value once the write is on the disk.

        Otherwise the future has `StoreFailed`. `size`: bytes that the operation writes, when they
        are many. `insists`: the caller will submit it again until it succeeds.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Entry(operation, future, size, insists))
        return future

    def close(self) -> None:
        """Finish what was submitted, then end the thread and close the connection."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._take()
            results, has_written = self._carry_out(batch)
            self._loop.call_soon_threadsafe(self._resolve, results, has_written)
            # What was written may be large, and the next operation may come much later.
            del batch, results

    def _carry_out(self, batch: list[_Entry]) -> tuple[list[_Done], bool]:
        """Return what became of each operation, and whether anything was written."""
        try:
            self._connection = self._files.ensure(self._connection)
        except Exception as error:
            failure = error if isinstance(error, StoreFailed) else store_failure("written", error)
            return [(entry, None, failure) for entry in batch], False
        changes = self._connection.total_changes
        results = self._commit(batch)
        if results is None:
            # One operation makes the whole transaction fail: find out which.
            results = [self._alone(entry) for entry in batch]
        self._files.written(self._connection)
        return results, self._connection.total_changes > changes

    def _take(self) -> tuple[list[_Entry], bool]:
        """Return the operations for one transaction, in order, and whether more may come."""
        batch: list[_Entry] = []
        size = 0
        entry, self._rest = self._rest or self._queue.get(), None
        while entry is not None:
            if batch and size + entry.size > _MAX_BATCH_BYTES:
                self._rest = entry
                return batch, True
            batch.append(entry)
            size += entry.size
            if len(batch) == _MAX_BATCH:
                return batch, True
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Entry]) -> list[_Done] | None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results: list[_Done] = [
                (entry, entry.operation(self._connection), None) for entry in batch
            ]
            self._connection.execute("COMMIT")
        except Exception:
            self._roll_back()
            return None
        return results

    def _alone(self, entry: _Entry) -> _Done:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            value = entry.operation(self._connection)
            self._connection.execute("COMMIT")
        except Exception as error:
            # The thread must go on whatever one operation does.
            self._roll_back()
            return entry, None, store_failure("written", error)
        return entry, value, None

    def _roll_back(self) -> None:
        # If this fails too, the transaction stays open: the next BEGIN fails and leads here again.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _resolve(self, results: list[_Done], has_written: bool) -> None:
        for entry, value, error in results:
            if entry.future.done():
                continue
            if error is None:
                entry.future.set_result(value)
            else:
                entry.future.set_exception(error)
        failed = [(entry, error) for entry, _, error in results if error is not None]
        if failed:
            self._owed = max(self._owed, *(e.size for e, _ in failed if e.insists), 0)
            self.is_damaged |= any(isinstance(error, StoreDamaged) for _, error in failed)
            self._set_failure(str(failed[-1][1]))
        elif has_written and not self.is_damaged and self._is_paid(results):
            self._owed = 0
            self._set_failure(None)

    def found_damage(self, damage: StoreDamaged) -> None:
        """Note that a reader has found the content of the file to be wrong. Call it on the loop."""
        self.is_damaged = True
        self._set_failure(str(damage))

    def _is_paid(self, results: list[_Done]) -> bool:
        """Return whether the largest write that is submitted again was written, if there is one."""
        return self._owed == 0 or any(
            entry.insists and entry.size >= self._owed for entry, _, _ in results
        )

    def _set_failure(self, failure: str | None) -> None:
        if failure != self.failure:
            self.failure = failure
            self._failure_changed(failure)

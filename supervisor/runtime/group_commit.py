"""One thread that writes to SQLite: what comes in during one commit shares the next."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from .store_failure import StoreFailed, described, is_damaged

T = TypeVar("T")

Operation = Callable[[sqlite3.Connection], T]
_Outcome = tuple["asyncio.Future[Any]", Any, Exception | None]

_MAX_BATCH = 256
_MAX_BATCH_BYTES = 16 << 20
"""The log of writes grows by what one transaction holds, and others wait for it."""


class _Entry(NamedTuple):
    operation: Operation[Any]
    future: asyncio.Future[Any]
    size: int


class GroupCommit:
    """Runs operations in a thread of its own, many to a transaction."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: sqlite3.Connection,
        failure_changed: Callable[[str | None], None],
    ) -> None:
        """`connection` is in autocommit mode and becomes the thread's own.

        `failure_changed` is called on the loop each time that `failure` is another one.
        """
        self._loop = loop
        self._connection = connection
        self._failure_changed = failure_changed
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._rest: _Entry | None = None
        self.failure: str | None = None
        """Why a write failed; None since something was written again."""
        self.is_damaged = False
        """Whether the file's content was found to be wrong: that does not heal."""
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T], size: int = 0) -> asyncio.Future[T]:
        """The operation's value once it is on the disk; `StoreFailed` when it is not.

        `size`: bytes that it writes, when they are many.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Entry(operation, future, size))
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
            changes = self._connection.total_changes
            outcomes = self._commit(batch)
            if outcomes is None:
                # One operation spoils a whole transaction: find out which.
                outcomes = [self._alone(entry) for entry in batch]
            has_written = self._connection.total_changes > changes
            self._loop.call_soon_threadsafe(self._resolve, outcomes, has_written)
            # What was written may be large, and nothing more may come for long.
            del batch, outcomes

    def _take(self) -> tuple[list[_Entry], bool]:
        """What goes into one transaction, in order; and whether more may come."""
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

    def _commit(self, batch: list[_Entry]) -> list[_Outcome] | None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes: list[_Outcome] = [
                (entry.future, entry.operation(self._connection), None) for entry in batch
            ]
            self._connection.execute("COMMIT")
        except Exception:
            self._roll_back()
            return None
        return outcomes

    def _alone(self, entry: _Entry) -> _Outcome:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            value = entry.operation(self._connection)
            self._connection.execute("COMMIT")
        except Exception as error:
            # The thread must go on whatever one operation does.
            self._roll_back()
            self.is_damaged = self.is_damaged or is_damaged(error)
            return entry.future, None, StoreFailed(described("written", error))
        return entry.future, value, None

    def _roll_back(self) -> None:
        # One that fails too leaves the transaction open: the next BEGIN fails and brings us here.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _resolve(self, outcomes: list[_Outcome], has_written: bool) -> None:
        for future, value, error in outcomes:
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        failures = [str(error) for _, _, error in outcomes if error is not None]
        if failures:
            self._set_failure(failures[-1])
        elif has_written and not self.is_damaged:
            self._set_failure(None)

    def _set_failure(self, failure: str | None) -> None:
        if failure != self.failure:
            self.failure = failure
            self._failure_changed(failure)

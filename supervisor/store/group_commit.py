"""One thread that writes to SQLite: what comes in during one commit shares the next."""

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
"""The log of writes grows by what one transaction holds, and others wait for it."""


class Files(Protocol):
    """The files that are written to; both are called in the writer's thread."""

    def ensure(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return the connection to write with, before each transaction. Raises `StoreFailed`."""

    def written(self, connection: sqlite3.Connection) -> None:
        """Take in that a transaction was written."""


class _Entry(NamedTuple):
    operation: Operation[Any]
    future: asyncio.Future[Any]
    size: int
    insists: bool


_Outcome = tuple[_Entry, Any, StoreFailed | None]


class GroupCommit:
    """Runs operations in a thread of its own, many to a transaction."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: sqlite3.Connection,
        files: Files,
        failure_changed: Callable[[str | None], None],
    ) -> None:
        """`connection` is in autocommit mode and becomes the thread's own.

        `failure_changed` is called on the loop each time that `failure` is another one.
        """
        self._loop = loop
        self._connection = connection
        self._files = files
        self._failure_changed = failure_changed
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._rest: _Entry | None = None
        self.failure: str | None = None
        """Why a write failed; None since something was written again, and since all is written on
        which somebody insists: a full disk still takes what is small."""
        self._owed = 0
        self.is_damaged = False
        """Whether the file's content was found to be wrong: nothing new should go into it."""
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        start_thread(self._thread)

    def submit(
        self, operation: Operation[T], size: int = 0, *, insists: bool = False
    ) -> asyncio.Future[T]:
        """The operation's value once it is on the disk; `StoreFailed` when it is not.

        `size`: bytes that it writes, when they are many. `insists`: when it fails, it will be
        submitted again until it does not.
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
            outcomes, has_written = self._carry_out(batch)
            self._loop.call_soon_threadsafe(self._resolve, outcomes, has_written)
            # What was written may be large, and nothing more may come for long.
            del batch, outcomes

    def _carry_out(self, batch: list[_Entry]) -> tuple[list[_Outcome], bool]:
        """What became of each, and whether anything was written."""
        try:
            self._connection = self._files.ensure(self._connection)
        except Exception as error:
            failure = error if isinstance(error, StoreFailed) else store_failure("written", error)
            return [(entry, None, failure) for entry in batch], False
        changes = self._connection.total_changes
        outcomes = self._commit(batch)
        if outcomes is None:
            # One operation spoils a whole transaction: find out which.
            outcomes = [self._alone(entry) for entry in batch]
        self._files.written(self._connection)
        return outcomes, self._connection.total_changes > changes

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
                (entry, entry.operation(self._connection), None) for entry in batch
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
            return entry, None, store_failure("written", error)
        return entry, value, None

    def _roll_back(self) -> None:
        # One that fails too leaves the transaction open: the next BEGIN fails and brings us here.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _resolve(self, outcomes: list[_Outcome], has_written: bool) -> None:
        for entry, value, error in outcomes:
            if entry.future.done():
                continue
            if error is None:
                entry.future.set_result(value)
            else:
                entry.future.set_exception(error)
        failed = [(entry, error) for entry, _, error in outcomes if error is not None]
        if failed:
            self._owed = max(self._owed, *(e.size for e, _ in failed if e.insists), 0)
            self.is_damaged |= any(isinstance(error, StoreDamaged) for _, error in failed)
            self._set_failure(str(failed[-1][1]))
        elif has_written and not self.is_damaged and self._is_paid(outcomes):
            self._owed = 0
            self._set_failure(None)

    def found_damage(self, damage: StoreDamaged) -> None:
        """Somebody else has found the file's content to be wrong. To be called on the loop."""
        self.is_damaged = True
        self._set_failure(str(damage))

    def _is_paid(self, outcomes: list[_Outcome]) -> bool:
        """Whether the largest thing on which somebody insists was written, if there is any."""
        return self._owed == 0 or any(
            entry.insists and entry.size >= self._owed for entry, _, _ in outcomes
        )

    def _set_failure(self, failure: str | None) -> None:
        if failure != self.failure:
            self.failure = failure
            self._failure_changed(failure)

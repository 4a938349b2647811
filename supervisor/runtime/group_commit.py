"""One thread that writes to SQLite: what comes in during one commit shares the next."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

Operation = Callable[[sqlite3.Connection], T]
_Entry = tuple[Operation[Any], "asyncio.Future[Any]"]
_Outcome = tuple["asyncio.Future[Any]", Any, Exception | None]

_MAX_BATCH = 256


class StoreFailed(Exception):
    """The store did not take a write; the message is SQLite's."""


class GroupCommit:
    """Runs operations in a thread of its own, many to a transaction."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: sqlite3.Connection) -> None:
        """`connection` is in autocommit mode and becomes the thread's own."""
        self._loop = loop
        self._connection = connection
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self.failure: str | None = None
        """Why the last write failed; None when it did not."""
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """The operation's value once it is on the disk; `StoreFailed` when it is not."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((operation, future))
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
            outcomes = self._commit(batch)
            if outcomes is None:
                # One operation spoils a whole transaction: find out which.
                outcomes = [each for entry in batch for each in self._alone(entry)]
            self._loop.call_soon_threadsafe(self._resolve, outcomes)

    def _take(self) -> tuple[list[_Entry], bool]:
        batch: list[_Entry] = []
        try:
            entry = self._queue.get()
            while entry is not None:
                batch.append(entry)
                if len(batch) == _MAX_BATCH:
                    return batch, True
                entry = self._queue.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _commit(self, batch: list[_Entry]) -> list[_Outcome] | None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes: list[_Outcome] = [
                (future, operation(self._connection), None) for operation, future in batch
            ]
            self._connection.execute("COMMIT")
        except Exception:
            self._roll_back()
            return None
        return outcomes

    def _alone(self, entry: _Entry) -> list[_Outcome]:
        operation, future = entry
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            value = operation(self._connection)
            self._connection.execute("COMMIT")
        except Exception as error:
            # The thread must go on whatever one operation does.
            self._roll_back()
            return [(future, None, StoreFailed(f"the state store cannot be written: {error}"))]
        return [(future, value, None)]

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _resolve(self, outcomes: list[_Outcome]) -> None:
        for future, value, error in outcomes:
            self.failure = None if error is None else str(error)
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

"""Reads from the run store, while its writer writes to it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from genvm_manager.base.process.threads import started_threads
from genvm_manager.protocol.ipc.replies import ArtifactPart
from genvm_manager.protocol.ipc.runs import Artifact, Cause, Exit, FinishedRun, RunState
from genvm_manager.protocol.ipc.status import Execution
from genvm_manager.protocol.limits import MAX_RUN_ID

from .failure import StoreDamaged, StoreFailed, store_failure
from .writes import SIZE

T = TypeVar("T")

_DROPPED_BYTES = {
    Artifact.STDOUT: "stdout_dropped",
    Artifact.STDERR: "stderr_dropped",
    Artifact.GENVM_LOG: "log_dropped_bytes",
    Artifact.RESULT: "0",
}
"""Columns of `outputs`; nothing of a result is dropped."""

_OUTPUTS = "stdout, stderr, genvm_log, result"
_NO_OUTPUTS = "x'', x'', CAST('[]' AS BLOB), NULL"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run without an end. `pid` and `start_ticks` are None when its launch was not recorded."""

    id: int
    pid: int | None
    start_ticks: int | None
    has_result: bool


class StoreReader:
    """A connection to read with, used in its own thread. Its methods raise `StoreFailed`.

    Methods that are not coroutines must be called before the first coroutine.
    """

    def __init__(
        self,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        found_damage: Callable[[StoreDamaged], None],
    ) -> None:
        """`found_damage` is called on the loop when a read finds damage."""
        self._loop = loop
        self._found_damage = found_damage
        self._path = path
        self._is_stale = False
        self._failure: StoreFailed | None = None
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._thread = started_threads("store-reader", 1)

    def close(self) -> None:
        """Finish the reads under way, then close."""
        self._thread.shutdown(wait=True)
        self._connection.close()

    def renew(self) -> None:
        """Read the file that is at the path now, from the next read on."""
        self._is_stale = True

    def refuse(self, failure: StoreFailed) -> None:
        """Raise `failure` for each further read: SQLite reads zeros from a file that was cut."""
        self._failure = failure

    async def is_retained(self, run_id: int) -> bool:
        """Return whether a run with this id is retained or under way."""
        return await self._in_thread(lambda: _exists(self._connection, run_id))

    async def finished(self, run_id: int, with_outputs: bool = True) -> FinishedRun | None:
        """Return a finished run, with or without its outputs; None for any other id."""
        outputs = _OUTPUTS if with_outputs else _NO_OUTPUTS
        return await self._in_thread(lambda: _select(self._connection, run_id, outputs))

    async def artifact(
        self, run_id: int, field: Artifact, offset: int, length: int
    ) -> ArtifactPart | None:
        """Return up to `length` bytes of a finished run's output; None for any other id.

        No more of the output than that is read into memory.
        """
        return await self._in_thread(
            lambda: _read_part(self._connection, run_id, field, offset, length)
        )

    def unfinished(self) -> list[Unfinished]:
        """Return the runs without an end."""
        rows = self._rows(
            "SELECT id, pid, start_ticks, EXISTS (SELECT 1 FROM results WHERE id = runs.id)"
            " FROM runs WHERE finished_at IS NULL ORDER BY id"
        )
        return [Unfinished(run_id, pid, ticks, bool(has)) for run_id, pid, ticks, has in rows]

    def newest_finished(self, limit: int) -> list[Execution]:
        """Return the `limit` runs that finished last, oldest first."""
        rows = self._rows(
            "SELECT id, cause, version, accepted_at, started_at, started_at + deadline,"
            " finished_at, cpu_seconds FROM runs"
            " WHERE kept_since IS NOT NULL"
            " ORDER BY kept_since DESC, finished_at DESC, id DESC LIMIT ?",
            limit,
        )
        return [_execution(row) for row in reversed(rows)]

    def retained(self) -> tuple[int, int]:
        """Return how many runs are finished, and their bytes, without reading the outputs."""
        row = self._row(
            f"SELECT count(*), total({SIZE}) FROM runs"  # noqa: S608 - SIZE is ours
            " LEFT JOIN outputs USING (id) LEFT JOIN results USING (id)"
            " WHERE finished_at IS NOT NULL"
        )
        assert row is not None
        return row[0], int(row[1])

    def _row(self, query: str) -> tuple[Any, ...] | None:
        rows = self._rows(query)
        return rows[0] if rows else None

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return _reading(lambda: self._connection.execute(query, values).fetchall())

    async def _in_thread(self, read: Callable[[], T]) -> T:
        try:
            return await self._loop.run_in_executor(self._thread, self._read, read)
        except StoreDamaged as damage:
            self._found_damage(damage)
            raise

    def _read(self, read: Callable[[], T]) -> T:
        """Read. Called in the thread."""
        if self._failure is not None:
            raise self._failure
        if self._is_stale:
            self._is_stale = False
            self._connection.close()
            self._connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False
            )
        return _reading(read)


def _reading(read: Callable[[], T]) -> T:
    try:
        return read()
    except sqlite3.Error as error:
        raise store_failure("read", error) from None


def _exists(connection: sqlite3.Connection, run_id: int) -> bool:
    if not 0 < run_id <= MAX_RUN_ID:
        return False
    found = connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,))
    return found.fetchone() is not None


def _read_part(
    connection: sqlite3.Connection, run_id: int, field: Artifact, offset: int, length: int
) -> ArtifactPart | None:
    if not 0 < run_id <= MAX_RUN_ID:
        return None
    # One transaction, so that the row is not pruned between the two reads.
    connection.execute("BEGIN")
    try:
        query = f"SELECT {_DROPPED_BYTES[field]} FROM outputs WHERE id = ?"  # noqa: S608
        row = connection.execute(query, (run_id,)).fetchone()
        if row is None:
            return None
        total, content = _read_blob(connection, run_id, field, offset, length)
        return ArtifactPart(RunState.FINISHED, row[0], total, content)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _read_blob(
    connection: sqlite3.Connection, run_id: int, field: Artifact, offset: int, length: int
) -> tuple[int, bytes]:
    """Return the length of the output, and the part."""
    table = "outputs"
    if field is Artifact.RESULT:
        table = "results"
        has_one = connection.execute("SELECT 1 FROM results WHERE id = ?", (run_id,)).fetchone()
        if has_one is None:
            return 0, b""
    with connection.blobopen(table, field, run_id, readonly=True) as output:
        output.seek(min(offset, len(output)))
        return len(output), output.read(length)


def _select(connection: sqlite3.Connection, run_id: int, outputs: str) -> FinishedRun | None:
    if not 0 < run_id <= MAX_RUN_ID:
        return None
    query = (
        "SELECT version, cause, exit_code, exit_signal, reason, accepted_at, runs.started_at,"  # noqa: S608
        f" finished_at, {outputs}, stdout_dropped, stderr_dropped,"
        " log_dropped, log_dropped_bytes, peak_rss, cpu_seconds, contract_error"
        " FROM runs JOIN outputs USING (id) LEFT JOIN results USING (id)"
        " WHERE id = ? AND finished_at IS NOT NULL"
    )
    row = connection.execute(query, (run_id,)).fetchone()
    if row is None:
        return None
    version, cause, code, number, *rest = row
    return FinishedRun(run_id, version, Cause(cause), Exit(code, number), *rest)


def _execution(row: tuple[Any, ...]) -> Execution:
    run_id, cause, version, accepted_at, started_at, strict_deadline, finished_at, cpu_seconds = row
    return Execution(
        id=run_id,
        state=RunState.FINISHED,
        cause=Cause(cause),
        version=version,
        accepted_at=accepted_at,
        started_at=started_at,
        strict_deadline=strict_deadline,
        finished_at=finished_at,
        pid=None,
        rss=None,
        cpu_seconds=cpu_seconds,
    )

"""The run store: what was accepted, what became of it, and its output until retention ends.

Every method that writes returns when the write is on the disk (WAL with full synchronisation).
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from protocol.ipc import Artifact, ArtifactPart, Cause, Execution, Exit, FinishedRun, RunState

from .group_commit import GroupCommit
from .processes import boot_id
from .store_schema import UnknownSchema, identify, migrate

MAX_ID = (1 << 63) - 1
_WAL_LIMIT = 64 << 20
_VACUUM_PAGES = 500
_SPARE_PAGES = 4_000
"""Free pages that the file keeps, to be used again soon: 16 MB."""


_LAUNCH = "UPDATE runs SET pid = ?, start_ticks = ?, started_at = ? WHERE id = ?"


class StoreUnusable(Exception):
    """The store cannot be opened; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is recorded before anything is done for a run."""

    id: int
    token: str | None
    accepted_at: float
    version: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Launched:
    """What is recorded of a run's process, so that a later supervisor can find it."""

    id: int
    pid: int
    start_ticks: int | None
    started_at: float


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run without an end; `pid` and `start_ticks` are None when its launch was not recorded."""

    id: int
    pid: int | None
    start_ticks: int | None


class RunStore:
    """Owns the database. `instance` names it; `is_same_boot`: pids in it can still be true."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = _open(path)
        self.instance, self.is_same_boot = identify(self._connection, boot_id())
        self._loop = loop
        self._writer = GroupCommit(loop, self._connection)
        self._reader_connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False
        )
        self._reader = ThreadPoolExecutor(1, "store-reader")

    @property
    def failure(self) -> str | None:
        """Why the last write failed; None when it did not."""
        return self._writer.failure

    async def accept(self, run: Accepted) -> int:
        """Record a run. Gives its id, or that of the retained run with the same token."""
        return await self._writer.submit(lambda connection: _accept(connection, run))

    async def launch(self, run: Launched) -> None:
        """Record that a run's process lives."""
        values = (run.pid, run.start_ticks, run.started_at, run.id)
        await self._writer.submit(lambda connection: _execute(connection, _LAUNCH, values))

    async def withdraw(self, run_id: int) -> None:
        """Forget a run that never was: its start failed, and its client knows."""
        await self._writer.submit(
            lambda connection: _execute(connection, "DELETE FROM runs WHERE id = ?", (run_id,))
        )

    async def finish(self, run: FinishedRun) -> None:
        """Record a run's end and output."""
        await self._writer.submit(lambda connection: _finish(connection, run))

    async def finish_lost(self, run_ids: list[int], finished_at: float, reason: str) -> None:
        """Record that runs were lost: nobody saw their end."""
        await self._writer.submit(
            lambda connection: _finish_lost(connection, run_ids, finished_at, reason)
        )

    async def prune(self, before: float, limit: int) -> int:
        """Delete up to `limit` runs that finished before a time; gives how many."""
        return await self._writer.submit(lambda connection: _prune(connection, before, limit))

    async def shrink(self) -> None:
        """Give some of the file's unused space, if it has much, back to the disk."""
        await self._writer.submit(_shrink)

    async def is_retained(self, run_id: int) -> bool:
        """Whether a run with this id is known."""
        return await self._loop.run_in_executor(self._reader, self._exists, run_id)

    async def finished(self, run_id: int) -> FinishedRun | None:
        """All that is kept of a finished run; None for any other id."""
        return await self._loop.run_in_executor(self._reader, self._select, run_id)

    async def artifact(
        self, run_id: int, field: Artifact, offset: int, length: int
    ) -> ArtifactPart | None:
        """Up to `length` bytes of a finished run's output; None for any other id.

        No more of the output than that is brought into memory.
        """
        return await self._loop.run_in_executor(
            self._reader, self._read_part, run_id, field, offset, length
        )

    def last_id(self) -> int:
        """The greatest id ever given; for use before the first write."""
        row = self._reader_connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'runs'"
        ).fetchone()
        return int(row[0]) if row else 0

    def unfinished(self) -> list[Unfinished]:
        """The runs without an end; for use before the first write."""
        rows = self._reader_connection.execute(
            "SELECT id, pid, start_ticks FROM runs WHERE finished_at IS NULL ORDER BY id"
        )
        return [Unfinished(*row) for row in rows]

    def newest_finished(self, limit: int) -> tuple[list[Execution], int]:
        """The last `limit` runs to finish, oldest first, and how many are finished in all."""
        rows = self._reader_connection.execute(
            "SELECT id, version, started_at, started_at + deadline, finished_at, cpu_seconds"
            " FROM runs"
            " WHERE finished_at IS NOT NULL ORDER BY finished_at DESC, id DESC LIMIT ?",
            (limit,),
        ).fetchall()
        count = self._reader_connection.execute(
            "SELECT count(*) FROM runs WHERE finished_at IS NOT NULL"
        ).fetchone()[0]
        return [_execution(row) for row in reversed(rows)], count

    def close(self) -> None:
        """Write what is left, then close; blocks for as long as that takes."""
        self._reader.shutdown(wait=True)
        self._reader_connection.close()
        self._writer.close()

    def _exists(self, run_id: int) -> bool:
        if not 0 < run_id <= MAX_ID:
            return False
        found = self._reader_connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,))
        return found.fetchone() is not None

    def _read_part(
        self, run_id: int, field: Artifact, offset: int, length: int
    ) -> ArtifactPart | None:
        if not 0 < run_id <= MAX_ID:
            return None
        connection = self._reader_connection
        # One transaction, so that the row is not pruned between the two looks at it.
        connection.execute("BEGIN")
        try:
            row = connection.execute("SELECT 1 FROM outputs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                return None
            with connection.blobopen("outputs", field, run_id, readonly=True) as output:
                output.seek(min(offset, len(output)))
                return ArtifactPart(len(output), output.read(length))
        finally:
            connection.execute("ROLLBACK")

    def _select(self, run_id: int) -> FinishedRun | None:
        if not 0 < run_id <= MAX_ID:
            return None
        row = self._reader_connection.execute(
            "SELECT version, cause, exit_code, exit_signal, reason, accepted_at, started_at,"
            " finished_at, stdout, stderr, genvm_log, result, stdout_dropped, stderr_dropped,"
            " log_dropped, peak_rss, cpu_seconds FROM runs JOIN outputs USING (id)"
            " WHERE id = ? AND finished_at IS NOT NULL",
            (run_id,),
        ).fetchone()
        if row is None:
            return None
        version, cause, code, number, *rest = row
        return FinishedRun(run_id, version, Cause(cause), Exit(code, number), *rest)


def _open(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        migrate(connection)
    except UnknownSchema as error:
        raise StoreUnusable(f"{path}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise StoreUnusable(
            f"the run store {path} cannot be used: {error}; check the disk and the folder's "
            "permissions, or move the file away to begin with an empty store"
        ) from None
    return connection


def _execute(connection: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> None:
    connection.execute(statement, values)


def _accept(connection: sqlite3.Connection, run: Accepted) -> int:
    if run.token is not None:
        row = connection.execute("SELECT id FROM runs WHERE token = ?", (run.token,)).fetchone()
        if row is not None:
            return int(row[0])
    connection.execute(
        "INSERT INTO runs (id, token, accepted_at, version, deadline) VALUES (?, ?, ?, ?, ?)",
        (run.id, run.token, run.accepted_at, run.version, run.deadline),
    )
    return run.id


def _finish(connection: sqlite3.Connection, run: FinishedRun) -> None:
    connection.execute(
        "UPDATE runs SET finished_at = ?, cause = ?, exit_code = ?, exit_signal = ?, reason = ?,"
        " started_at = ?, peak_rss = ?, cpu_seconds = ? WHERE id = ?",
        (
            run.finished_at,
            run.cause.value,
            run.exit.code,
            run.exit.signal,
            run.reason,
            run.started_at,
            run.peak_rss,
            run.cpu_seconds,
            run.id,
        ),
    )
    connection.execute(
        "INSERT INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.id,
            run.stdout,
            run.stderr,
            run.genvm_log,
            run.result,
            run.stdout_dropped,
            run.stderr_dropped,
            run.log_dropped,
        ),
    )


def _finish_lost(
    connection: sqlite3.Connection, run_ids: list[int], finished_at: float, reason: str
) -> None:
    connection.executemany(
        "UPDATE runs SET finished_at = ?, cause = 'lost', reason = ? WHERE id = ?",
        [(finished_at, reason, run_id) for run_id in run_ids],
    )
    connection.executemany(
        "INSERT INTO outputs VALUES (?, x'', x'', CAST('[]' AS BLOB), NULL, 0, 0, 0)",
        [(run_id,) for run_id in run_ids],
    )


def _prune(connection: sqlite3.Connection, before: float, limit: int) -> int:
    rows = connection.execute(
        "SELECT id FROM runs WHERE finished_at < ? ORDER BY finished_at LIMIT ?", (before, limit)
    ).fetchall()
    connection.executemany("DELETE FROM outputs WHERE id = ?", rows)
    connection.executemany("DELETE FROM runs WHERE id = ?", rows)
    return len(rows)


def _shrink(connection: sqlite3.Connection) -> None:
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(_VACUUM_PAGES, free - _SPARE_PAGES)):
        # A page at a time: the statement has no rows, and `execute` takes but one step of it.
        connection.execute("PRAGMA incremental_vacuum(1)")


def _execution(row: tuple[int, str | None, float | None, float | None, float, float]) -> Execution:
    run_id, version, started_at, strict_deadline, finished_at, cpu_seconds = row
    return Execution(
        id=run_id,
        state=RunState.FINISHED,
        version=version,
        started_at=started_at,
        strict_deadline=strict_deadline,
        finished_at=finished_at,
        pid=None,
        rss=None,
        cpu_seconds=cpu_seconds,
    )

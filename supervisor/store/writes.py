"""Writes to the run store. Each function is one operation of a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from genvm_manager.protocol.ipc.runs import Cause, FinishedRun

from .rules_retention_clock import Mark

RUN_BYTES = 256
"""Bytes that a retained run counts beyond its output: about those of its rows."""

SIZE = (
    f"{RUN_BYTES} + ifnull(length(stdout) + length(stderr) + length(genvm_log), 0)"
    " + ifnull(length(result), 0)"
)
"""SQL for the bytes that a run counts. SQLite knows the length of a blob without reading it."""

_SPARE_PAGES = 4_000
"""Free pages that the file keeps for the next runs: 16 MB."""

_SHRINK_PAGES = 500
"""Pages that are given back at once: about 20 ms of work."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is recorded of a run before anything is done for it."""

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
class Arrived:
    """A result, recorded when it arrives: its run may never be seen to end."""

    id: int
    started_at: float | None
    result: bytes


@dataclass(frozen=True, slots=True)
class UnseenEnd:
    """What is recorded of a run whose end no supervisor has seen."""

    id: int
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned: runs, bytes, and how many of the runs went for want of room."""

    ids: list[int]
    size: int
    crowded_out: int


def last_id(connection: sqlite3.Connection) -> int:
    """Return the greatest id ever put on record."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
    return int(row[0]) if row else 0


def skip_ids(connection: sqlite3.Connection, last: int) -> None:
    """Let ids continue after `last`."""
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'runs'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('runs', ?)", (last,))


def retention_mark(connection: sqlite3.Connection) -> tuple[Mark, float]:
    """Return the recorded mark of the retention clock, and the newest time of a run by it."""
    query = "SELECT seconds, boot_id, uptime FROM retention_clock"
    newest = connection.execute("SELECT max(kept_since) FROM runs").fetchone()[0]
    return Mark(*connection.execute(query).fetchone()), newest or 0.0


def put_mark(connection: sqlite3.Connection, mark: Mark) -> None:
    """Record a mark of the retention clock."""
    connection.execute(
        "UPDATE retention_clock SET seconds = ?, boot_id = ?, uptime = ?",
        (mark.seconds, mark.boot_id, mark.uptime),
    )


def accept(connection: sqlite3.Connection, run: Accepted) -> int:
    """Record a run. Return its id, or that of the run that has its token already."""
    if run.token is not None:
        row = connection.execute("SELECT id FROM runs WHERE token = ?", (run.token,)).fetchone()
        if row is not None:
            return int(row[0])
    connection.execute(
        "INSERT INTO runs (id, token, accepted_at, version, deadline) VALUES (?, ?, ?, ?, ?)",
        (run.id, run.token, run.accepted_at, run.version, run.deadline),
    )
    return run.id


def launch(connection: sqlite3.Connection, run: Launched) -> None:
    """Record a run's process."""
    connection.execute(
        "UPDATE runs SET pid = ?, start_ticks = ?, started_at = ? WHERE id = ?",
        (run.pid, run.start_ticks, run.started_at, run.id),
    )


def withdraw(connection: sqlite3.Connection, run_id: int) -> None:
    """Delete a run whose start failed."""
    connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))


def keep_result(connection: sqlite3.Connection, run: Arrived) -> None:
    """Record a result."""
    connection.execute("INSERT INTO results VALUES (?, ?, ?)", (run.id, run.started_at, run.result))


def finish(connection: sqlite3.Connection, run: FinishedRun, kept_since: float) -> None:
    """Record the end of a run. `kept_since` is by the retention clock."""
    connection.execute(
        "UPDATE runs SET kept_since = ?, accepted_at = ?, finished_at = ?, cause = ?,"
        " exit_code = ?, exit_signal = ?, reason = ?,"
        " started_at = ?, contract_error = ?, peak_rss = ?, cpu_seconds = ? WHERE id = ?",
        (
            kept_since,
            run.accepted_at,
            run.finished_at,
            run.cause.value,
            run.exit.code,
            run.exit.signal,
            run.reason,
            run.started_at,
            run.contract_error,
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
            run.stdout_dropped,
            run.stderr_dropped,
            run.log_dropped,
            run.log_dropped_bytes,
        ),
    )
    if run.result is not None and not _has_result(connection, run.id):
        keep_result(connection, Arrived(run.id, run.started_at, run.result))


def _has_result(connection: sqlite3.Connection, run_id: int) -> bool:
    row = connection.execute("SELECT 1 FROM results WHERE id = ?", (run_id,)).fetchone()
    return row is not None


def finish_unseen(
    connection: sqlite3.Connection,
    runs: Sequence[UnseenEnd],
    finished_at: float,
    kept_since: float,
) -> None:
    """Record unseen ends, none before the start of its run, whatever the wall clock says."""
    connection.executemany(
        "UPDATE runs SET started_at ="
        " ifnull(started_at, (SELECT started_at FROM results WHERE id = runs.id)) WHERE id = ?",
        [(run.id,) for run in runs],
    )
    connection.executemany(
        "UPDATE runs SET kept_since = ?, finished_at = max(?, ifnull(started_at, accepted_at)),"
        " cause = ?, reason = ? WHERE id = ?",
        [(kept_since, finished_at, run.cause.value, run.reason, run.id) for run in runs],
    )
    connection.executemany(
        "INSERT INTO outputs VALUES (?, x'', x'', CAST('[]' AS BLOB), 0, 0, 0, 0)",
        [(run.id,) for run in runs],
    )


def prune(connection: sqlite3.Connection, before: float, excess: int, limit: int) -> Pruned:
    """Delete up to `limit` runs, oldest first.

    These are the runs kept since a time earlier than `before`, by the retention clock, and then
    runs until `excess` bytes are free. The run that finished last is never in excess.
    """
    rows = connection.execute(
        f"SELECT id, kept_since, {SIZE} FROM runs"  # noqa: S608 - SIZE is ours
        " LEFT JOIN outputs USING (id) LEFT JOIN results USING (id)"
        " WHERE kept_since IS NOT NULL ORDER BY kept_since, finished_at, id LIMIT ?",
        (limit + 1,),
    ).fetchall()
    ids: list[int] = []
    freed = crowded_out = 0
    for number, (run_id, kept_since, size) in enumerate(rows[:limit], start=1):
        if kept_since >= before:
            if freed >= excess or number == len(rows):
                break
            crowded_out += 1
        ids.append(run_id)
        freed += size
    for table in ("results", "outputs", "runs"):
        connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(each,) for each in ids])  # noqa: S608
    return Pruned(ids, freed, crowded_out)


def shrink(connection: sqlite3.Connection) -> bool:
    """Give some of the file's unused space back to the disk. Return False when little is left."""
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    for _ in range(min(_SHRINK_PAGES, free - _SPARE_PAGES)):
        # A page at a time: the statement has no rows, and `execute` makes only one step of it.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return free - _SPARE_PAGES > _SHRINK_PAGES


def touch(connection: sqlite3.Connection) -> None:
    """Write something that changes nothing, to find out whether the disk takes it."""
    connection.execute("UPDATE identity SET boot_id = boot_id")

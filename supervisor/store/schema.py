"""The schema of the run store, and its migrations."""

from __future__ import annotations

import secrets
import sqlite3

_VERSION_1 = """
CREATE TABLE identity (
    instance TEXT NOT NULL,
    boot_id TEXT NOT NULL
);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT,
    accepted_at REAL NOT NULL,
    version TEXT,
    deadline REAL NOT NULL,
    pid INTEGER,
    start_ticks INTEGER,
    started_at REAL,
    finished_at REAL,
    cause TEXT,
    exit_code INTEGER,
    exit_signal INTEGER,
    reason TEXT,
    peak_rss INTEGER,
    cpu_seconds REAL
);
CREATE UNIQUE INDEX runs_by_token ON runs (token) WHERE token IS NOT NULL;
CREATE INDEX runs_by_end ON runs (finished_at);
CREATE TABLE outputs (
    id INTEGER PRIMARY KEY REFERENCES runs (id),
    stdout BLOB NOT NULL,
    stderr BLOB NOT NULL,
    genvm_log BLOB NOT NULL,
    result BLOB,
    stdout_dropped INTEGER NOT NULL,
    stderr_dropped INTEGER NOT NULL,
    log_dropped INTEGER NOT NULL
);
INSERT INTO schema_version VALUES (1);
"""

_VERSION_2 = """
CREATE TABLE results (
    id INTEGER PRIMARY KEY REFERENCES runs (id),
    started_at REAL,
    result BLOB NOT NULL
);
INSERT INTO results
    SELECT id, started_at, result FROM outputs JOIN runs USING (id) WHERE result IS NOT NULL;
ALTER TABLE outputs DROP COLUMN result;
INSERT INTO schema_version VALUES (2);
"""
"""A result is recorded when it arrives, the other outputs at the end of the run."""

_VERSION_3 = """
ALTER TABLE outputs ADD COLUMN log_dropped_bytes INTEGER NOT NULL DEFAULT 0;
INSERT INTO schema_version VALUES (3);
"""
"""A reader of a growing log finds its place again once the run has finished."""

_VERSION_4 = """
ALTER TABLE runs ADD COLUMN kept_since REAL;
UPDATE runs SET kept_since = 0 WHERE finished_at IS NOT NULL;
DROP INDEX runs_by_end;
CREATE INDEX runs_by_age ON runs (kept_since, finished_at, id);
CREATE TABLE retention_clock (
    seconds REAL NOT NULL,
    boot_id TEXT NOT NULL,
    uptime REAL NOT NULL
);
INSERT INTO retention_clock VALUES (0, '', 0);
INSERT INTO schema_version VALUES (4);
"""
"""Runs age by the store's own clock. Runs that finished before are kept that long once more."""

_VERSION_5 = """
ALTER TABLE runs ADD COLUMN contract_error TEXT;
INSERT INTO schema_version VALUES (5);
"""
"""Why a contract ended with a VM error is kept beside the run."""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5)
"""The n-th turns version n into version n + 1, and records the new version."""

CURRENT = len(MIGRATIONS)


class UnknownSchema(Exception):
    """The store was written by a newer program; the message says so."""


def check_version(connection: sqlite3.Connection) -> None:
    """Raise `UnknownSchema` when a newer program has written the store. Only read."""
    table = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'"
    if connection.execute(table).fetchone() is None:
        return
    if (version := _version(connection)) > CURRENT:
        raise UnknownSchema(
            f"the run store has schema {version}, this program knows up to {CURRENT}: "
            "start the program that wrote it, or choose another --state-dir"
        )


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return row[0] or 0


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the store to the current version, in one transaction."""
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
    if (version := _version(connection)) == CURRENT:
        return
    connection.executescript("".join(["BEGIN IMMEDIATE;", *MIGRATIONS[version:], "COMMIT;"]))


def identify(connection: sqlite3.Connection, place: str) -> tuple[str, bool]:
    """Return the store's name, and whether it was last opened in this place: a boot and a file.

    In another place it gets another name, so that a copy does not end the original's processes.
    """
    row = connection.execute("SELECT instance, boot_id FROM identity").fetchone()
    if row is not None and row[1] == place:
        _sign(connection, row[0])
        return str(row[0]), True
    instance = secrets.token_hex(8)
    connection.execute("DELETE FROM identity")
    connection.execute("INSERT INTO identity VALUES (?, ?)", (instance, place))
    _sign(connection, instance)
    return instance, False


def settle(connection: sqlite3.Connection, place: str) -> None:
    """Keep the store's name in another place, where we have put it ourselves."""
    connection.execute("UPDATE identity SET boot_id = ?", (place,))


def _sign(connection: sqlite3.Connection, instance: str) -> None:
    """Write the store's name to the first page of the file, unless it is there."""
    signature = int(instance[:7], 16)
    if connection.execute("PRAGMA application_id").fetchone()[0] != signature:
        connection.execute(f"PRAGMA application_id = {signature}")

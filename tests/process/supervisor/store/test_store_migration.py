"""A store that an older version has written is read on, with all that is in it."""

from __future__ import annotations

import contextlib
import sqlite3
import time

from genvm_manager.base.files.state_folder import run_store
from genvm_manager.protocol.ipc.commands import ReadArtifact
from genvm_manager.protocol.ipc.replies import ArtifactPart
from genvm_manager.protocol.ipc.runs import Artifact, Cause, Exit, RunState
from tests.support.supervisor import RunningSupervisor
from tests.support.waiting import TIMEOUT

SCHEMA_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
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
INSERT INTO identity VALUES ('0011223344556677', 'another boot');
"""
"""The first form that a store had."""

WITH_RESULT, WITHOUT, UNFINISHED, LAST = 5, 6, 7, 40
OUTPUT = bytes(range(256)) * 4_000


def _write_version_1(supervisor: RunningSupervisor, now: float) -> None:
    supervisor.state.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(run_store(supervisor.state))) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA_1)
        run = "INSERT INTO runs VALUES (?, ?, ?, 'v0.2.0', 60.0, ?, 99, ?, ?, ?, ?, ?, ?, ?, ?)"
        connection.execute(
            run, (WITH_RESULT, "one", now, 4_000_000, now, now, "exited", 0, None, None, 5, 0.5)
        )
        connection.execute(
            run, (WITHOUT, None, now, None, now, now, "deadline", None, 9, "too long", None, 0.1)
        )
        connection.execute(
            run, (UNFINISHED, "two", now, None, None, None, None, None, None, None, None, None)
        )
        connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'runs'", (LAST,))
        output = "INSERT INTO outputs VALUES (?, ?, ?, ?, ?, 1, 2, 3)"
        connection.execute(output, (WITH_RESULT, OUTPUT, b"err", b'[{"level":"info"}]', OUTPUT))
        connection.execute(output, (WITHOUT, b"", b"", b"[]", None))
        connection.commit()


def test_a_store_of_version_1_keeps_everything() -> None:
    now = time.time()
    with RunningSupervisor(starts=False) as supervisor:
        _write_version_1(supervisor, now)
        supervisor.start()
        client = supervisor.client
        first, second, third = (client.get(n) for n in (WITH_RESULT, WITHOUT, UNFINISHED))
        assert first is not None and second is not None and third is not None
        assert (first.cause, first.exit, first.result) == (Cause.EXITED, Exit(code=0), OUTPUT)
        assert (first.stdout, first.stderr, first.genvm_log) == (
            OUTPUT,
            b"err",
            b'[{"level":"info"}]',
        )
        assert (first.stdout_dropped, first.stderr_dropped, first.log_dropped) == (1, 2, 3)
        assert (first.accepted_at, first.started_at, first.finished_at) == (now, now, now)
        assert (first.version, first.peak_rss, first.cpu_seconds) == ("v0.2.0", 5, 0.5)
        assert (second.cause, second.exit, second.result) == (
            Cause.DEADLINE,
            Exit(signal=9),
            None,
        )
        assert second.reason == "too long"
        assert (third.cause, third.result) == (Cause.LOST, None)
        part = client.ask(ReadArtifact(WITH_RESULT, Artifact.STDOUT, 1_000, 5))
        assert part == ArtifactPart(RunState.FINISHED, 1, len(OUTPUT), OUTPUT[1_000:1_005])
        assert client.start("quick") == LAST + 1
        assert client.start("quick", token="one") == WITH_RESULT
        assert client.start("quick", token="two") == UNFINISHED
        _stop_and_start(supervisor)
        assert supervisor.client.get(WITH_RESULT) == first
        _stop(supervisor)


def _stop_and_start(supervisor: RunningSupervisor) -> None:
    _stop(supervisor)
    with contextlib.closing(sqlite3.connect(run_store(supervisor.state))) as connection:
        assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (5,)
        assert connection.execute("SELECT id FROM results").fetchall() == [(WITH_RESULT,)]
    supervisor.start()


def _stop(supervisor: RunningSupervisor) -> None:
    supervisor.process.terminate()
    assert supervisor.process.wait(TIMEOUT) == 0
    supervisor.hang_up()

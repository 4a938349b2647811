"""A disk that is full or read-only, a store that is damaged or none: what curl sees."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from genvm_manager.base.files.state_folder import run_store
from genvm_manager.protocol import calldata
from tests.support.service import RunningService, processes_of, run_request
from tests.support.waiting import TIMEOUT, wait_until

CONFIG = "{http_workers: 1, http_threads: 16, permits: {total: 4}, drain_timeout: 1s}"
LARGE = "x" * 300_000


@pytest.fixture
def service() -> Iterator[RunningService]:
    """Not started yet."""
    service = RunningService(config=CONFIG)
    yield service
    service.discard()


@pytest.fixture
def small_disk(service: RunningService) -> Iterator[RunningService]:
    """A service whose state folder is a disk of 6 MB."""
    service.state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", str(service.state)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not in every container")
    yield service
    for process in processes_of(service.folder):
        process.kill()
    wait_until(lambda: not processes_of(service.folder))
    subprocess.run(["umount", "--lazy", service.state], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte of its disk; gives the file to delete."""
    filler = folder / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 16, 1):
        with contextlib.suppress(OSError):
            while True:
                os.write(descriptor, bytes(size))
    os.close(descriptor)
    return filler


def post(service: RunningService) -> httpx.Response:
    return service.http.post("/genvm/run", content=calldata.encode(run_request()))


def refusal(response: httpx.Response) -> str:
    assert response.status_code == 503, response.text
    assert int(response.headers["Retry-After"]) >= 1
    error = response.json()["error"]
    assert isinstance(error, str)
    return error


def failed_start(service: RunningService) -> str:
    """What `serve` says; it must not start."""
    log = service.folder / "failure"
    assert service.launch(log).wait(TIMEOUT) == 1
    said = log.read_text()
    assert "Traceback" not in said
    # Beside the log's lines: the reason, and which half ended for it.
    assert sum(line.startswith("genvm-manager") for line in said.splitlines()) == 2, said
    return said


def finished_reply(service: RunningService) -> tuple[int, httpx.Response]:
    """A run that has ended, and what is told of it."""
    genvm_id = service.start_run({"print": LARGE, "result": b"result"})
    reply = service.http.get(f"/genvm/{genvm_id}?wait=30s", timeout=TIMEOUT)
    assert reply.json()["status"]["stdout"] == LARGE
    return genvm_id, reply


def test_a_full_disk_refuses_what_is_new_and_loses_nothing(small_disk: RunningService) -> None:
    service = small_disk
    service.start()
    known, reply = finished_reply(service)
    genvm_id = service.start_run({"sleep_ms": 500, "print": LARGE, "result": b"kept"})
    filler = fill(service.state)
    ends: list[httpx.Response] = []
    path = f"{service.url}/genvm/{genvm_id}?wait=60s"
    reader = threading.Thread(target=lambda: ends.append(httpx.get(path, timeout=TIMEOUT)))
    reader.start()
    wait_until(lambda: "run_end_not_recorded" in service.log)
    recovered = service.log.count("store_recovered")
    full = "the state store cannot be written: database or disk is full; make room on its disk"
    assert refusal(post(service)) == full
    assert refusal(service.http.get("/readyz")) == f"no runs are taken: {full}"
    assert service.http.get("/healthz").is_success
    assert service.http.get(f"/genvm/{known}").content == reply.content
    assert service.http.get(f"/genvm/{genvm_id}").json()["status"] is None
    ended = service.http.delete(f"/genvm/{genvm_id}?wait_timeout_ms=0", timeout=TIMEOUT)
    assert refusal(ended) == f"GenVM with id {genvm_id} has ended, but {full}"
    # What is small can be written even now: that is no recovery.
    assert service.log.count("store_recovered") == recovered
    assert not ends
    filler.unlink()
    reader.join(TIMEOUT)
    status = ends[0].json()["status"]
    assert (status["cause"], status["stdout"]) == ("exited", LARGE)
    assert bytes(status["consumed_result"]) == b"kept"
    wait_until(lambda: service.http.get("/readyz").is_success)
    assert post(service).is_success
    assert service.stop() == 0


def test_a_full_disk_at_the_start_is_said(small_disk: RunningService) -> None:
    small_disk.start()
    known, reply = finished_reply(small_disk)
    assert small_disk.stop() == 0
    filler = fill(small_disk.state)
    assert "its disk is full: make room there" in failed_start(small_disk)
    filler.unlink()
    small_disk.start()
    assert small_disk.http.get(f"/genvm/{known}").content == reply.content
    assert small_disk.stop() == 0


def test_a_read_only_folder_is_said(small_disk: RunningService) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk.state], check=True)
    said = failed_start(small_disk)
    assert f"state folder {small_disk.state}: Read-only file system; make it writable" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said(service: RunningService) -> None:
    service.state.mkdir(mode=0o500)
    assert f"state folder {service.state}: Permission denied" in failed_start(service)


def damage(store: Path) -> None:
    """Overwrite everything but the first page, in which the schema is."""
    size = store.stat().st_size
    assert size > 200_000
    with store.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))


def test_damage_that_is_found_under_way_is_said_and_nothing_is_added(
    service: RunningService,
) -> None:
    service.start()
    known, _ = finished_reply(service)
    assert service.stop() == 0
    service.start()
    genvm_id = service.start_run({"sleep_ms": 600_000})
    damage(run_store(service.state))
    found = service.http.get(f"/genvm/{known}")
    assert found.status_code == 500
    text = "database disk image is malformed; runs.db is damaged: stop the service, move runs.db"
    assert text in found.json()["error"]
    for response in (post(service), service.http.get("/readyz")):
        assert text in refusal(response)
    assert service.http.get("/healthz").is_success
    # What runs goes on: it may be all that somebody wants.
    assert service.client.status().executions[str(genvm_id)].state == "running"
    assert service.stop() == 0
    said = failed_start(service)
    assert f"{run_store(service.state)} cannot be used: it is damaged (" in said
    assert "move it and the file of that name with -wal away" in said
    for path in service.state.glob("runs.db*"):
        path.unlink()
    service.start()
    assert post(service).is_success
    assert service.stop() == 0
    service.assert_nothing_left()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"this is no database" * 1_000, "file is not a database; move it"),
        (None, "has schema 99, this program knows up to"),
    ],
)
def test_a_store_that_cannot_be_read_is_said_and_left_alone(
    service: RunningService, content: bytes | None, text: str
) -> None:
    service.state.mkdir()
    path = run_store(service.state)
    if content is not None:
        path.write_bytes(content)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
            connection.execute("INSERT INTO schema_version VALUES (99)")
            connection.commit()
    before = path.read_bytes()
    assert text in failed_start(service)
    assert path.read_bytes() == before


def test_a_newer_store_that_was_killed_is_left_as_it_is(service: RunningService) -> None:
    """A downgrade: what the newer program has not yet moved into the database stays, too."""
    service.start()
    known, _ = finished_reply(service)
    with contextlib.closing(sqlite3.connect(run_store(service.state))) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
        connection.commit()
    everybody = processes_of(service.folder)
    for process in everybody:
        process.suspend()
    for process in everybody:
        process.kill()
    service.wait(TIMEOUT)
    wait_until(lambda: not processes_of(service.folder))
    names = ("runs.db", "runs.db-wal")
    before = {name: (service.state / name).read_bytes() for name in names}
    assert len(before["runs.db-wal"]) > len(LARGE)
    said = failed_start(service)
    assert "has schema 99, this program knows up to" in said
    assert "start the program that wrote it, or choose another --state-dir" in said
    assert {name: (service.state / name).read_bytes() for name in names} == before
    with contextlib.closing(sqlite3.connect(run_store(service.state))) as connection:
        connection.execute("DELETE FROM schema_version WHERE version = 99")
        connection.commit()
    service.start()
    assert service.http.get(f"/genvm/{known}").json()["status"]["stdout"] == LARGE
    assert service.stop() == 0

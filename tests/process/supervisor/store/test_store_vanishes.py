"""The run store's files are removed, replaced or cut while the supervisor uses them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genvm_manager.base.errors import ManagerError, Unavailable
from genvm_manager.base.files.state_folder import last_run_id, run_store
from genvm_manager.protocol.ipc.runs import Cause
from tests.support.supervisor import RunningSupervisor
from tests.support.waiting import TIMEOUT, wait_until

NOTICED = 5.0
"""Seconds, on a busy machine; it takes half a second on a quiet one."""


@pytest.fixture
def supervisor() -> Iterator[RunningSupervisor]:
    with RunningSupervisor() as running:
        yield running


def remove(store: Path) -> None:
    store.unlink()


def remove_all(store: Path) -> None:
    for path in store.parent.glob("runs.db*"):
        path.unlink()


def rename(store: Path) -> None:
    store.rename(store.with_name("elsewhere.db"))


def replace_by_another(store: Path) -> None:
    other = store.with_name("other.db")
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (content TEXT)")
        connection.commit()
    other.replace(store)


def replace_by_a_copy(store: Path) -> None:
    copy = store.with_name("copy.db")
    shutil.copy(store, copy)
    copy.replace(store)


def replace_by_a_link(store: Path) -> None:
    moved = store.with_name("moved.db")
    store.rename(moved)
    store.symlink_to(moved)


def replace_by_a_folder(store: Path) -> None:
    store.unlink()
    store.mkdir()


def remove_the_log(store: Path) -> None:
    Path(f"{store}-wal").unlink()


def remove_the_index(store: Path) -> None:
    Path(f"{store}-shm").unlink()


def replace_the_index_by_a_folder(store: Path) -> None:
    remove_the_index(store)
    Path(f"{store}-shm").mkdir()


def replace_the_log_by_a_fifo(store: Path) -> None:
    remove_the_log(store)
    os.mkfifo(f"{store}-wal")


def remove_log_and_index(store: Path) -> None:
    Path(f"{store}-wal").unlink()
    Path(f"{store}-shm").unlink()


def is_written_back(supervisor: RunningSupervisor, times: int = 1) -> bool:
    return supervisor.log.count("store_written_back") >= times


VANISHING = [
    remove,
    remove_all,
    rename,
    replace_by_another,
    replace_by_a_copy,
    replace_by_a_link,
    replace_by_a_folder,
    remove_the_log,
    remove_the_index,
    replace_the_index_by_a_folder,
    replace_the_log_by_a_fifo,
    remove_log_and_index,
]


@pytest.mark.parametrize("vanish", VANISHING)
def test_a_store_that_vanishes_is_written_back_whole(
    supervisor: RunningSupervisor, vanish: Callable[[Path], None]
) -> None:
    client = supervisor.client
    before = client.run("megabyte")
    under_way = client.start("naps")
    vanish(run_store(supervisor.state))
    # Nothing that is acknowledged from now on may be lost to a kill either.
    after = client.run("quick", token="after")
    assert is_written_back(supervisor)
    assert client.get(before.id) == before
    assert client.finished(under_way).cause is Cause.EXITED
    waits = client.start("slow")
    supervisor.kill()
    supervisor.start()
    client = supervisor.client
    assert client.get(before.id) == before
    assert client.get(after.id) == after
    lost = client.get(waits)
    assert lost is not None and lost.cause is Cause.LOST
    assert client.start("quick") == waits + 1
    assert client.start("quick", token="after") == after.id


def test_an_idle_supervisor_notices_too_and_says_so(supervisor: RunningSupervisor) -> None:
    run_store(supervisor.state).unlink()
    wait_until(lambda: is_written_back(supervisor), NOTICED)
    assert "store_vanished what='runs.db was removed or renamed'" in supervisor.log
    Path(f"{run_store(supervisor.state)}-wal").unlink()
    wait_until(lambda: is_written_back(supervisor, 2), NOTICED)
    assert "what='runs.db-wal was removed or renamed'" in supervisor.log
    assert not list(supervisor.state.glob("*.new"))


def test_what_was_put_in_its_place_is_kept(supervisor: RunningSupervisor) -> None:
    replace_by_another(run_store(supervisor.state))
    wait_until(lambda: is_written_back(supervisor), NOTICED)
    (kept,) = supervisor.state.glob("runs.db.replaced-*")
    with contextlib.closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def cut(store: Path) -> None:
    os.truncate(store, 0)


def cut_a_little(store: Path) -> None:
    os.truncate(store, store.stat().st_size - 4096)


def overwrite(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE mine (content BLOB)")
        connection.execute("INSERT INTO mine VALUES (zeroblob(4000000))")
        connection.commit()
        store.write_bytes(connection.serialize())


@pytest.mark.parametrize("ruin", [cut, cut_a_little, overwrite])
def test_a_store_that_is_cut_refuses_and_ids_go_on(
    supervisor: RunningSupervisor, ruin: Callable[[Path], None]
) -> None:
    client = supervisor.client
    known = client.run("megabyte")
    client.run("megabyte")
    under_way = client.start("slow")
    store = run_store(supervisor.state)
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint")
    ruin(store)
    refusal = wait_until(lambda: client.status().refusal, NOTICED)
    assert "runs.db was cut or overwritten while it was in use" in refusal
    assert "stop the service, bring back a copy of it or move it" in refusal
    with pytest.raises(Unavailable, match="was cut or overwritten"):
        client.start("quick")
    # Zeros would be read in place of what was there.
    with pytest.raises(ManagerError, match="was cut or overwritten"):
        client.get(known.id)
    assert [run.id for run in client.status().under_way] == [under_way]
    supervisor.kill()
    for path in supervisor.state.glob("runs.db*"):
        path.unlink()
    supervisor.start()
    last = supervisor.client.start("quick")
    assert last > under_way
    assert "run_outcomes_lost" in supervisor.log
    supervisor.kill()
    supervisor.start()
    assert supervisor.client.start("quick") == last + 1
    assert supervisor.log.count("run_outcomes_lost") == 1


def test_a_log_of_writes_that_is_cut_is_noticed(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    client.run("megabyte")
    os.truncate(f"{run_store(supervisor.state)}-wal", 40)

    def is_said() -> bool:
        return "runs.db-wal was cut" in supervisor.log

    wait_until(is_said, NOTICED)
    refusal = client.status().refusal
    assert refusal is None or "runs.db-wal was cut while it was in use" in refusal
    supervisor.kill()
    remove_all(run_store(supervisor.state))
    supervisor.start()


def test_a_store_that_cannot_be_written_back_refuses_until_it_can(
    supervisor: RunningSupervisor,
) -> None:
    client = supervisor.client
    before = client.run("quick")
    # Where the copy would be made.
    (supervisor.state / "runs.db.new").mkdir()
    remove(run_store(supervisor.state))
    refusal = wait_until(lambda: client.status().refusal, NOTICED)
    assert refusal.startswith("runs.db was removed or renamed while it was in use; the state store")
    with pytest.raises(Unavailable, match="was removed or renamed"):
        client.start("quick")
    assert client.get(before.id) == before
    (supervisor.state / "runs.db.new").rmdir()
    wait_until(lambda: client.status().refusal is None, TIMEOUT)
    assert client.run("quick").id > before.id
    assert client.get(before.id) == before


def test_ids_go_on_without_a_store_and_without_a_kill(supervisor: RunningSupervisor) -> None:
    last = supervisor.client.run("quick").id
    supervisor.process.terminate()
    supervisor.process.wait(TIMEOUT)
    supervisor.hang_up()
    remove_all(run_store(supervisor.state))
    supervisor.start()
    assert supervisor.client.run("quick").id > last


@pytest.mark.parametrize("content", [b"", b"nonsense", b"1 2 3", b"-5 7", b"\xff" * 64, None])
def test_a_file_of_the_last_id_that_is_damaged_or_gone_is_made_again(
    supervisor: RunningSupervisor, content: bytes | None
) -> None:
    first = supervisor.client.run("quick").id
    file = last_run_id(supervisor.state)
    supervisor.kill()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    supervisor.start()
    assert supervisor.client.run("quick").id == first + 1
    wait_until(lambda: file.read_text().split()[0] == str(first + 1), NOTICED)
    file.unlink()
    wait_until(file.exists, NOTICED)
    assert file.read_text().split()[0] == str(first + 1)


def test_ids_are_on_record_ahead_of_their_use(supervisor: RunningSupervisor) -> None:
    run_id = supervisor.client.run("quick").id
    given, reserved = map(int, last_run_id(supervisor.state).read_text().split())
    assert given == run_id
    assert reserved >= run_id + 1_000


def test_looking_costs_an_idle_supervisor_next_to_nothing(supervisor: RunningSupervisor) -> None:
    def writes() -> int:
        for line in Path(f"/proc/{supervisor.pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        raise AssertionError

    supervisor.client.run("quick")
    before = -1
    deadline = time.monotonic() + 30
    while (now := writes()) != before:
        # Two seconds without a write: four looks.
        before = now
        assert time.monotonic() < deadline
        time.sleep(2)

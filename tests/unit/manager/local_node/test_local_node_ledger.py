"""The local node's state: `genvm_manager.manager.local_node.ledger`."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genvm_manager.manager.local_node.errors import LocalNodeFailed
from genvm_manager.manager.local_node.ledger import (
    DEFAULT_BALANCE,
    DEFAULT_SENDER,
    InsufficientBalance,
    Ledger,
)
from genvm_manager.protocol.calldata import Address
from tests.support.waiting import TIMEOUT

ALICE = Address(b"\xa1" * 20)
SLOT = b"\x07" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "local-node.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path)
    yield ledger
    ledger.close()


def key(page: int) -> bytes:
    return SLOT + page.to_bytes(4, "big")


def test_the_default_sender_is_rich_and_nobody_else_is(ledger: Ledger) -> None:
    with ledger.reading():
        assert ledger.balance(DEFAULT_SENDER) == DEFAULT_BALANCE
        assert ledger.balance(ALICE) == 0
        assert ledger.nonce(ALICE) == 0
        assert not ledger.is_contract(DEFAULT_SENDER)


def test_value_moves_and_never_below_zero(ledger: Ledger) -> None:
    with ledger.writing():
        ledger.credit(ALICE, 2**255)
        ledger.debit(ALICE, 1)
        assert ledger.balance(ALICE) == 2**255 - 1
        with pytest.raises(InsufficientBalance):
            ledger.debit(ALICE, 2**255)
        assert ledger.balance(ALICE) == 2**255 - 1


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 32, b"\x01" * 32),
        (30, 4, b"\x01\x01\0\0"),
        (62, 4, b"\0\0\x03\x03"),
        (31, 34, b"\x01" + bytes(32) + b"\x03"),
        (64, 64, b"\x03" * 32 + bytes(32)),
        (1 << 20, 3, bytes(3)),
        ((1 << 32) - 1, 2, b"\0\0"),
    ],
)
def test_reads_assemble_pages_and_fill_gaps_with_zeros(
    ledger: Ledger, offset: int, length: int, expected: bytes
) -> None:
    with ledger.writing():
        ledger.write_pages(ALICE, [(key(0), b"\x01" * 32), (key(2), b"\x02" * 32)])
        ledger.write_pages(ALICE, [(key(2), b"\x03" * 32)])
        assert ledger.read_storage(ALICE, SLOT, offset, length) == expected
        assert ledger.read_storage(ALICE, bytes(32), 0, 4) == bytes(4)
        assert ledger.read_storage(DEFAULT_SENDER, SLOT, 0, 4) == bytes(4)


def test_a_transaction_is_kept_whole_or_not_at_all(path: Path, ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.writing():
        ledger.add_contract(ALICE, 0)
        ledger.write_pages(ALICE, [(key(0), b"\x01" * 32)])
        raise ZeroDivisionError
    with ledger.writing():
        assert not ledger.is_contract(ALICE)
        assert ledger.read_storage(ALICE, SLOT, 0, 1) == b"\0"
        ledger.add_contract(ALICE, 0)
        ledger.raise_nonce(ALICE)
    again = Ledger(path)
    with again.reading():
        assert again.is_contract(ALICE)
        assert again.nonce(ALICE) == 1
    again.close()


def test_one_writer_at_a_time_and_readers_see_the_last_whole_state(
    path: Path, ledger: Ledger
) -> None:
    other = Ledger(path)
    waits: list[bool] = []
    with ledger.writing():
        ledger.credit(ALICE, 5)
        with other.reading():
            assert other.balance(ALICE) == 0
        with (
            pytest.raises(LocalNodeFailed, match="another command"),
            other.writing(timeout=0.05, on_wait=lambda: waits.append(True)),
        ):
            pass
    assert waits == [True]
    with other.writing():
        assert other.balance(ALICE) == 5
    other.close()


def test_files_that_are_no_ledger_are_refused(tmp_path: Path) -> None:
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"not a database at all" * 100)
    with pytest.raises(LocalNodeFailed, match="noise"):
        Ledger(noise)
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = newer.read_bytes()
    with pytest.raises(LocalNodeFailed, match="has schema 99, this program knows up to 4: use the"):
        Ledger(newer)
    assert newer.read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(LocalNodeFailed, match="file"):
        Ledger(tmp_path / "file" / "local-node.db")


def test_a_ledger_of_the_first_version_is_brought_up_to_date(path: Path, ledger: Ledger) -> None:
    with ledger.writing():
        ledger.add_contract(ALICE, 0)
        ledger.credit(ALICE, 7)
    ledger.close()
    with sqlite3.connect(path) as connection:
        for column in ("major", "file_name"):
            connection.execute(f"ALTER TABLE accounts DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    upgraded = Ledger(path)
    with upgraded.writing():
        assert (upgraded.balance(ALICE), upgraded.is_contract(ALICE)) == (7, True)
        assert upgraded.balance(DEFAULT_SENDER) == DEFAULT_BALANCE
        assert upgraded.major(ALICE) == 0
        assert upgraded.file_name(ALICE) is None
        upgraded.add_contract(ALICE, 2, "hello.py")
        assert (upgraded.major(ALICE), upgraded.file_name(ALICE)) == (2, "hello.py")
    upgraded.close()


def test_a_ledger_with_contracts_of_an_older_storage_layout_is_refused(
    path: Path, ledger: Ledger
) -> None:
    with ledger.writing():
        ledger.write_pages(ALICE, [(bytes(36), bytes(32))])
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LocalNodeFailed, match="would misread them: move the file away") as refused:
        Ledger(path)
    assert str(path) in str(refused.value)
    assert path.read_bytes() == before


def _add_one_many_times(path: Path, times: int) -> None:
    ledger = Ledger(path)
    for _ in range(times):
        with ledger.writing():
            ledger.credit(ALICE, 1)
    ledger.close()


def test_processes_that_open_and_write_at_once_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_one_many_times, args=(path, 25)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(TIMEOUT)
        assert writer.exitcode == 0
    ledger = Ledger(path)
    with ledger.reading():
        assert ledger.balance(ALICE) == 75
    ledger.close()


def test_many_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    for attempt in range(8):
        path = tmp_path / f"{attempt}.db"
        start = threading.Barrier(6)

        def open_and_close(path: Path = path, start: threading.Barrier = start) -> None:
            start.wait(TIMEOUT)
            Ledger(path).close()

        with ThreadPoolExecutor(6) as pool:
            for opened in [pool.submit(open_and_close) for _ in range(6)]:
                opened.result(TIMEOUT)

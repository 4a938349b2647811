"""The local node's end of the host protocol, over a real socket: `manager/local_node/host.py`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from genvm_manager.manager.local_node.host import LedgerHost, serving
from genvm_manager.manager.local_node.ledger import DEFAULT_BALANCE, DEFAULT_SENDER, Ledger
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import (
    HostErrorCode,
    HostRefusal,
    StorageRead,
    StorageType,
)
from tests.support.waiting import TIMEOUT

CONTRACT = Address(b"\xc0" * 20)
SLOT = b"\x07" * 32


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "local-node.db")
    with ledger.writing():
        yield ledger
    ledger.close()


def dial(host: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT)
    connection.connect(host.removeprefix("unix://"))
    return connection


def read(length: int, offset: int = 0) -> StorageRead:
    return StorageRead(StorageType.DEFAULT, CONTRACT, SLOT, offset, length)


def test_an_executor_gets_what_the_command_has_written_so_far(ledger: Ledger) -> None:
    ledger.write_pages(CONTRACT, [(SLOT + bytes(4), b"\x05" * 32)])
    ledger.credit(CONTRACT, 3)
    with serving(LedgerHost(ledger, CONTRACT, 4)) as url, dial(url) as connection:
        client = HostClient([connection])
        assert client.storage_read(read(40)) == b"\x05" * 32 + bytes(8)
        assert client.storage_read(read(0)) == b""
        assert client.get_balance(CONTRACT) == 7
        assert client.get_balance(DEFAULT_SENDER) == DEFAULT_BALANCE
        client.consume_fuel(10)
        assert client.remaining_fuel_as_gen() == 2**64 - 1
        client.notify_nondet_disagreement(1)
        with pytest.raises(HostRefusal) as refused:
            client.eth_call(CONTRACT, b"\x01\x02")
        assert refused.value.code is HostErrorCode.ABSENT
        with pytest.raises(HostRefusal):
            client.storage_read(read(2**32 - 1))
        client.consume_result(b"\0")
        client.notify_finished()


def leftovers(url: str) -> list[object]:
    threads = [one for one in threading.enumerate() if one.name == "local-node-host"]
    folder = Path(url.removeprefix("unix://")).parent
    return [*threads, *([folder] if folder.exists() else [])]


def test_the_socket_is_private_and_gone_afterwards(ledger: Ledger) -> None:
    with serving(LedgerHost(ledger, CONTRACT, 0)) as url:
        folder = Path(url.removeprefix("unix://")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert leftovers(url)
    assert not leftovers(url)


def test_an_executor_that_stays_silent_holds_nothing_up(ledger: Ledger) -> None:
    with serving(LedgerHost(ledger, CONTRACT, 0)) as url:
        connection = dial(url)
        assert HostClient([connection]).get_balance(CONTRACT) == 0
    with connection:
        assert connection.recv(1) == b""
    assert not leftovers(url)


def test_an_executor_that_breaks_the_protocol_is_hung_up_on(ledger: Ledger) -> None:
    with serving(LedgerHost(ledger, CONTRACT, 0)) as url, dial(url) as connection:
        connection.sendall(b"\xee")
        assert connection.recv(1) == b""
    assert not leftovers(url)


def test_a_fault_of_the_ledger_reaches_the_command(ledger: Ledger) -> None:
    class Broken(LedgerHost):
        def storage_read(self, request: StorageRead) -> bytes:
            raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        serving(Broken(ledger, CONTRACT, 0)) as url,
        dial(url) as connection,
    ):
        connection.sendall(b"\0" + bytes(20 + 32 + 9))
        assert connection.recv(1) == b""
    assert not leftovers(url)


def test_a_temporary_folder_too_deep_for_sockets_is_said(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(OSError, match="TMPDIR"), serving(LedgerHost(ledger, CONTRACT, 0)):
        pass
    assert list(deep.iterdir()) == []

"""docs/spec/04-executor.md#host-protocol: exact bytes on both sides, and streams cut up anyhow."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import (
    ConsumeFuel,
    ConsumeResult,
    EthCall,
    GetBalance,
    HostErrorCode,
    HostProtocolError,
    HostRefusal,
    NotifyFinished,
    NotifyNondetDisagreement,
    RemainingFuelAsGen,
    Request,
    StorageRead,
    StorageType,
)
from genvm_manager.protocol.host.server import RequestParser, answer, serve
from tests.support.waiting import TIMEOUT

ADDRESS = Address(bytes(range(20)))
SLOT = bytes(range(32))

WIRE: list[tuple[Request, bytes]] = [
    (
        StorageRead(StorageType.LATEST_FINAL, ADDRESS, SLOT, 5, 258),
        b"\0\1" + bytes(ADDRESS) + SLOT + b"\5\0\0\0" + b"\2\1\0\0",
    ),
    (ConsumeFuel(7), b"\1\7\0\0\0\0\0\0\0"),
    (EthCall(ADDRESS, b"hey"), b"\2" + bytes(ADDRESS) + b"\3\0\0\0hey"),
    (GetBalance(ADDRESS), b"\3" + bytes(ADDRESS)),
    (RemainingFuelAsGen(), b"\4"),
    (NotifyNondetDisagreement(9), b"\5\t\0\0\0"),
    (ConsumeResult(b"ok"), b"\6\2\0\0\0ok"),
    (NotifyFinished(), b"\7"),
]


@pytest.mark.parametrize(("request_", "wire"), WIRE, ids=lambda part: type(part).__name__)
def test_each_request_is_these_bytes(request_: Request, wire: bytes) -> None:
    assert list(RequestParser().feed(wire)) == [request_]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_requests_survive_any_cutting(cuts: list[int]) -> None:
    stream = b"".join(wire for _, wire in WIRE)
    parser, at = RequestParser(), 0
    parsed: list[Request] = []
    for size in [*cuts, len(stream)]:
        parsed += parser.feed(stream[at : at + size])
        at += size
    assert parsed == [request for request, _ in WIRE]
    assert parser.idle


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"\x08", "method 8 is unknown"),
        (b"\xff", "method 255 is unknown"),
        (b"\6\xff\xff\xff\xff", "4294967295 bytes are announced"),
        (b"\2" + bytes(20) + b"\xff\xff\xff\xff", "4294967295 bytes are announced"),
        (b"\0\3" + bytes(60), "storage type 3 is unknown"),
    ],
)
def test_broken_streams_are_refused_at_once(stream: bytes, reason: str) -> None:
    with pytest.raises(HostProtocolError, match=reason):
        list(RequestParser().feed(stream))


class Ledger:
    """A node with one account, which refuses what it does not have."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def storage_read(self, request: StorageRead) -> bytes:
        """Return stored bytes."""
        if request.storage_type is StorageType.LATEST_FINAL:
            raise HostRefusal(HostErrorCode.ABSENT)
        return bytes(request.length)

    def consume_fuel(self, request: ConsumeFuel) -> None:
        """Note the fuel."""
        self.heard.append(request)

    def eth_call(self, request: EthCall) -> bytes:
        """Return the Ethereum contract's answer."""
        if request.calldata == b"no":
            raise HostRefusal(HostErrorCode.FORBIDDEN)
        return request.calldata[::-1]

    def get_balance(self, request: GetBalance) -> int:
        """Return a balance."""
        return 1 << 200

    def remaining_fuel_as_gen(self) -> int:
        """Return the fuel that is left."""
        return 12

    def notify_nondet_disagreement(self, request: NotifyNondetDisagreement) -> None:
        """Note the disagreement."""
        self.heard.append(request)

    def consume_result(self, request: ConsumeResult) -> None:
        """Keep the result."""
        self.heard.append(request)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(TIMEOUT)
    with ours, theirs:
        yield ours, theirs


def test_a_client_and_a_host_understand_each_other(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = sockets
    ledger, ended = Ledger(), []
    thread = threading.Thread(target=lambda: ended.append(serve(theirs, ledger)))
    thread.start()
    client = HostClient([ours])
    assert client.storage_read(StorageRead(StorageType.DEFAULT, ADDRESS, SLOT, 1, 64)) == bytes(64)
    with pytest.raises(HostRefusal) as refused:
        client.storage_read(StorageRead(StorageType.LATEST_FINAL, ADDRESS, SLOT, 1, 64))
    assert refused.value.code is HostErrorCode.ABSENT
    client.consume_fuel(5)
    assert client.eth_call(ADDRESS, b"abc" * 100_000) == b"cba" * 100_000
    with pytest.raises(HostRefusal, match="forbidden"):
        client.eth_call(ADDRESS, b"no")
    assert client.get_balance(ADDRESS) == 1 << 200
    assert client.remaining_fuel_as_gen() == 12
    client.notify_nondet_disagreement(3)
    client.consume_result(b"result")
    client.notify_finished()
    thread.join(TIMEOUT)
    assert ended == [True]
    assert ledger.heard == [ConsumeFuel(5), NotifyNondetDisagreement(3), ConsumeResult(b"result")]


def test_an_executor_that_goes_away_is_told_from_one_that_finished(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = sockets
    ours.sendall(b"\4\0\1")
    ours.shutdown(socket.SHUT_WR)
    assert serve(theirs, Ledger()) is False


def test_a_host_that_goes_away_is_noticed(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    client = HostClient([ours])
    theirs.close()
    client.notify_finished()
    with pytest.raises(HostProtocolError):
        client.get_balance(ADDRESS)


def test_an_answer_cut_off_or_unknown_is_a_broken_protocol(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = sockets
    theirs.sendall(b"\x09")
    with pytest.raises(HostProtocolError, match="error byte 9"):
        HostClient([ours]).remaining_fuel_as_gen()
    theirs.sendall(b"\0\0\0")
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(HostProtocolError, match="middle of an answer"):
        HostClient([ours]).remaining_fuel_as_gen()


def test_a_host_may_not_answer_with_another_length() -> None:
    class Short(Ledger):
        def storage_read(self, request: StorageRead) -> bytes:
            return b"x"

    with pytest.raises(HostProtocolError, match="64 bytes were asked for"):
        answer(Short(), StorageRead(StorageType.DEFAULT, ADDRESS, SLOT, 0, 64))

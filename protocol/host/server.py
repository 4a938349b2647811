"""The host's side of the host protocol.

Source: docs/spec/04-executor.md#host-protocol.

`RequestParser` and `answer` are free of I/O, so that a thread and an event loop can use them alike;
`serve` runs them over a blocking socket.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Protocol

from genvm_manager.protocol.calldata import Address

from .messages import (
    BALANCE_SIZE,
    ETH_CALL,
    MAX_BLOB,
    STORAGE_READ,
    U32,
    U64,
    ConsumeFuel,
    ConsumeResult,
    EthCall,
    GetBalance,
    HostProtocolError,
    HostRefusal,
    Method,
    NotifyFinished,
    NotifyNondetDisagreement,
    RemainingFuelAsGen,
    Request,
    StorageRead,
    StorageType,
)

_HEAD_SIZES = {
    Method.STORAGE_READ: STORAGE_READ.size,
    Method.CONSUME_FUEL: U64.size,
    Method.ETH_CALL: ETH_CALL.size,
    Method.GET_BALANCE: Address.SIZE,
    Method.REMAINING_FUEL_AS_GEN: 0,
    Method.NOTIFY_NONDET_DISAGREEMENT: U32.size,
    Method.CONSUME_RESULT: U32.size,
    Method.NOTIFY_FINISHED: 0,
}


class RequestParser:
    """Turns the executor's byte stream into requests, whatever parts it arrives in."""

    def __init__(self, max_blob: int = MAX_BLOB) -> None:
        self._buffer = bytearray()
        self._max_blob = max_blob

    def feed(self, received: bytes) -> Iterator[Request]:
        """Yield each request that is complete once `received` is appended.

        Raise `HostProtocolError` for an unknown method or a blob over the limit; nothing can be
        read after that.
        """
        self._buffer += received
        while (parsed := self._next()) is not None:
            request, size = parsed
            del self._buffer[:size]
            yield request

    @property
    def idle(self) -> bool:
        """True between requests: an end of the stream here cuts nothing off."""
        return not self._buffer

    def _next(self) -> tuple[Request, int] | None:
        if not self._buffer:
            return None
        try:
            method = Method(self._buffer[0])
        except ValueError:
            raise HostProtocolError(f"method {self._buffer[0]} is unknown") from None
        end = 1 + _HEAD_SIZES[method]
        if len(self._buffer) < end:
            return None
        head = bytes(self._buffer[1:end])
        if method is Method.ETH_CALL:
            end += self._blob_size(ETH_CALL.unpack(head)[1])
        elif method is Method.CONSUME_RESULT:
            end += self._blob_size(U32.unpack(head)[0])
        if len(self._buffer) < end:
            return None
        return _request(method, head, bytes(self._buffer[1 + len(head) : end])), end

    def _blob_size(self, size: int) -> int:
        if size > self._max_blob:
            raise HostProtocolError(f"{size} bytes are announced, the limit is {self._max_blob}")
        return size


def _request(method: Method, head: bytes, blob: bytes) -> Request:
    match method:
        case Method.STORAGE_READ:
            kind, address, slot, offset, length = STORAGE_READ.unpack(head)
            if kind not in StorageType.__members__.values():
                raise HostProtocolError(f"storage type {kind} is unknown")
            return StorageRead(StorageType(kind), Address(address), slot, offset, length)
        case Method.CONSUME_FUEL:
            return ConsumeFuel(U64.unpack(head)[0])
        case Method.ETH_CALL:
            return EthCall(Address(ETH_CALL.unpack(head)[0]), blob)
        case Method.GET_BALANCE:
            return GetBalance(Address(head))
        case Method.REMAINING_FUEL_AS_GEN:
            return RemainingFuelAsGen()
        case Method.NOTIFY_NONDET_DISAGREEMENT:
            return NotifyNondetDisagreement(U32.unpack(head)[0])
        case Method.CONSUME_RESULT:
            return ConsumeResult(blob)
        case Method.NOTIFY_FINISHED:
            return NotifyFinished()


class Host(Protocol):
    """What a node answers with. Each method may raise `HostRefusal` where an error byte exists."""

    def storage_read(self, request: StorageRead) -> bytes:
        """Return exactly `request.length` bytes; what was never written reads as zeros."""

    def consume_fuel(self, request: ConsumeFuel) -> None:
        """Take fuel."""

    def eth_call(self, request: EthCall) -> bytes:
        """Return what the Ethereum contract returned."""

    def get_balance(self, request: GetBalance) -> int:
        """Return what the account owns."""

    def remaining_fuel_as_gen(self) -> int:
        """Return the fuel that is left."""

    def notify_nondet_disagreement(self, request: NotifyNondetDisagreement) -> None:
        """Note that a validator disagrees with the leader."""

    def consume_result(self, request: ConsumeResult) -> None:
        """Keep the encoded result; the executor waits until this returns."""


def answer(host: Host, request: Request) -> bytes:
    """Return the bytes that answer `request`, empty where the protocol has no answer."""
    try:
        return _answer(host, request)
    except HostRefusal as refusal:
        return bytes([refusal.code])


def _answer(host: Host, request: Request) -> bytes:
    match request:
        case StorageRead():
            page = host.storage_read(request)
            if len(page) != request.length:
                raise HostProtocolError(f"{request.length} bytes were asked for, not {len(page)}")
            return b"\0" + page
        case EthCall():
            returned = host.eth_call(request)
            return b"\0" + U32.pack(len(returned)) + returned
        case GetBalance():
            return b"\0" + host.get_balance(request).to_bytes(BALANCE_SIZE, "little")
        case RemainingFuelAsGen():
            return b"\0" + U64.pack(host.remaining_fuel_as_gen())
        case ConsumeFuel():
            host.consume_fuel(request)
            return b""
        case NotifyNondetDisagreement():
            host.notify_nondet_disagreement(request)
            return b""
        case ConsumeResult():
            host.consume_result(request)
            return b"\0"
        case NotifyFinished():
            return b"\0"


def serve(connection: socket.socket, host: Host) -> bool:
    """Answer requests until the executor has finished or is gone.

    Return True after `notify_finished`, and False when the stream ended without it, as it does
    when an executor crashes. Raises `HostProtocolError` for a broken stream and `OSError` for a
    broken connection.
    """
    parser = RequestParser()
    while received := connection.recv(1 << 16):
        for request in parser.feed(received):
            connection.sendall(answer(host, request))
            if isinstance(request, NotifyFinished):
                return True
    return False

"""The host protocol: what an executor asks of its hosts, byte by byte.

Source: docs/spec/04-executor.md#host-protocol.

Both sides are here. `HostClient` is the executor's: blocking calls over a socket. `RequestParser`
and `answer_*` are the host's, free of I/O, so that a thread and an event loop can use them alike;
`serve` runs them over a blocking socket. Integers are little-endian.

The executor pays for this module's imports at each start, so it keeps to the light ones.
"""

from __future__ import annotations

import math
import struct
import time
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .calldata import Address

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

MAX_BLOB = 64 << 20
"""The longest run of bytes, in either direction, that one message may carry."""

SLOT_SIZE = 32
BALANCE_SIZE = 32


class Method(IntEnum):
    """The first byte of a request."""

    STORAGE_READ = 0
    CONSUME_FUEL = 1
    ETH_CALL = 2
    GET_BALANCE = 3
    REMAINING_FUEL_AS_GEN = 4
    NOTIFY_NONDET_DISAGREEMENT = 5
    CONSUME_RESULT = 6
    NOTIFY_FINISHED = 7


class StorageType(IntEnum):
    """Which state of a contract's storage a read sees."""

    DEFAULT = 0
    LATEST_FINAL = 1
    LATEST_NON_FINAL = 2


class HostErrorCode(IntEnum):
    """The error byte of an answer."""

    OK = 0
    ABSENT = 1
    FORBIDDEN = 2
    OUT_OF_STORAGE_GAS = 3


class HostRefusal(Exception):
    """A host answered a request with an error byte. Hosts raise it, clients get it."""

    def __init__(self, code: HostErrorCode) -> None:
        super().__init__(f"the host refused: {code.name.lower()}")
        self.code = code


class HostProtocolError(Exception):
    """The other side broke the protocol or went away; the connection is of no more use."""


class StorageRead(NamedTuple):
    storage_type: StorageType
    address: Address
    slot: bytes
    offset: int
    length: int


class ConsumeFuel(NamedTuple):
    amount: int


class EthCall(NamedTuple):
    address: Address
    calldata: bytes


class GetBalance(NamedTuple):
    address: Address


class RemainingFuelAsGen(NamedTuple):
    pass


class NotifyNondetDisagreement(NamedTuple):
    call_number: int


class ConsumeResult(NamedTuple):
    result: bytes


class NotifyFinished(NamedTuple):
    pass


Request = (
    StorageRead
    | ConsumeFuel
    | EthCall
    | GetBalance
    | RemainingFuelAsGen
    | NotifyNondetDisagreement
    | ConsumeResult
    | NotifyFinished
)

_READ = struct.Struct("<B20s32sII")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_ETH_CALL = struct.Struct("<20sI")

_HEAD_SIZES = {
    Method.STORAGE_READ: _READ.size,
    Method.CONSUME_FUEL: _U64.size,
    Method.ETH_CALL: _ETH_CALL.size,
    Method.GET_BALANCE: Address.SIZE,
    Method.REMAINING_FUEL_AS_GEN: 0,
    Method.NOTIFY_NONDET_DISAGREEMENT: _U32.size,
    Method.CONSUME_RESULT: _U32.size,
    Method.NOTIFY_FINISHED: 0,
}

# ---------------------------------------------------------------------------------- the host's side


class RequestParser:
    """Turns the executor's byte stream into requests, however it is cut up."""

    def __init__(self, max_blob: int = MAX_BLOB) -> None:
        self._buffer = bytearray()
        self._max_blob = max_blob

    def feed(self, received: bytes) -> Iterator[Request]:
        """Yield each request that is complete once `received` is appended.

        Raises `HostProtocolError` for an unknown method or a blob over the limit; nothing can be
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
            end += self._blob_size(_ETH_CALL.unpack(head)[1])
        elif method is Method.CONSUME_RESULT:
            end += self._blob_size(_U32.unpack(head)[0])
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
            kind, address, slot, offset, length = _READ.unpack(head)
            if kind not in StorageType.__members__.values():
                raise HostProtocolError(f"storage type {kind} is unknown")
            return StorageRead(StorageType(kind), Address(address), slot, offset, length)
        case Method.CONSUME_FUEL:
            return ConsumeFuel(_U64.unpack(head)[0])
        case Method.ETH_CALL:
            return EthCall(Address(_ETH_CALL.unpack(head)[0]), blob)
        case Method.GET_BALANCE:
            return GetBalance(Address(head))
        case Method.REMAINING_FUEL_AS_GEN:
            return RemainingFuelAsGen()
        case Method.NOTIFY_NONDET_DISAGREEMENT:
            return NotifyNondetDisagreement(_U32.unpack(head)[0])
        case Method.CONSUME_RESULT:
            return ConsumeResult(blob)
        case Method.NOTIFY_FINISHED:
            return NotifyFinished()


class Host(Protocol):
    """What a node answers with. Each method may raise `HostRefusal` where an error byte exists."""

    def storage_read(self, request: StorageRead) -> bytes:
        """Exactly `request.length` bytes; what was never written reads as zeros."""

    def consume_fuel(self, request: ConsumeFuel) -> None: ...

    def eth_call(self, request: EthCall) -> bytes: ...

    def get_balance(self, request: GetBalance) -> int: ...

    def remaining_fuel_as_gen(self) -> int: ...

    def notify_nondet_disagreement(self, request: NotifyNondetDisagreement) -> None: ...

    def consume_result(self, request: ConsumeResult) -> None: ...


def answer(host: Host, request: Request) -> bytes:
    """The bytes that answer `request`, empty where the protocol has no answer."""
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
            return b"\0" + _U32.pack(len(returned)) + returned
        case GetBalance():
            return b"\0" + host.get_balance(request).to_bytes(BALANCE_SIZE, "little")
        case RemainingFuelAsGen():
            return b"\0" + _U64.pack(host.remaining_fuel_as_gen())
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

    True after `notify_finished`, False when the stream ended without it: that run has crashed.
    Raises `HostProtocolError` for a broken stream and `OSError` for a broken connection.
    """
    parser = RequestParser()
    while received := connection.recv(1 << 16):
        for request in parser.feed(received):
            connection.sendall(answer(host, request))
            if isinstance(request, NotifyFinished):
                return True
    return False


# ------------------------------------------------------------------------------ the executor's side


class HostClient:
    """The executor's end of one host connection: one request at a time, blocking.

    Every call may raise `HostRefusal`, and `HostProtocolError` once the host is gone; a socket
    time-out counts as gone, and so does an answer that goes on for longer than that.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def storage_read(self, request: StorageRead) -> bytes:
        """Exactly `request.length` bytes."""
        kind, address, slot, offset, length = request
        self._send(_READ.pack(kind, bytes(address), slot, offset, length), Method.STORAGE_READ)
        self._check()
        return self._receive(request.length)

    def consume_fuel(self, amount: int) -> None:
        self._send(_U64.pack(amount), Method.CONSUME_FUEL)

    def eth_call(self, address: Address, calldata: bytes) -> bytes:
        head = _ETH_CALL.pack(bytes(address), len(calldata))
        self._send(head + calldata, Method.ETH_CALL)
        self._check()
        size = _U32.unpack(self._receive(_U32.size))[0]
        if size > MAX_BLOB:
            raise HostProtocolError(f"the host announced {size} bytes, the limit is {MAX_BLOB}")
        return self._receive(size)

    def get_balance(self, address: Address) -> int:
        self._send(bytes(address), Method.GET_BALANCE)
        self._check()
        return int.from_bytes(self._receive(BALANCE_SIZE), "little")

    def remaining_fuel_as_gen(self) -> int:
        self._send(b"", Method.REMAINING_FUEL_AS_GEN)
        self._check()
        return int.from_bytes(self._receive(_U64.size), "little")

    def notify_nondet_disagreement(self, call_number: int) -> None:
        self._send(_U32.pack(call_number), Method.NOTIFY_NONDET_DISAGREEMENT)

    def consume_result(self, result: bytes) -> None:
        self._send(_U32.pack(len(result)) + result, Method.CONSUME_RESULT)
        self._receive(1)

    def notify_finished(self) -> None:
        """Say goodbye. Newer hosts close instead of answering: that is a goodbye as well."""
        try:
            self._send(b"", Method.NOTIFY_FINISHED)
            self._receive(1)
        except HostProtocolError:
            return

    def _send(self, arguments: bytes, method: Method) -> None:
        try:
            self._connection.sendall(bytes([method]) + arguments)
        except OSError as error:
            raise HostProtocolError(f"the host is gone: {error}") from error

    def _check(self) -> None:
        code = self._receive(1)[0]
        if code == HostErrorCode.OK:
            return
        try:
            raise HostRefusal(HostErrorCode(code))
        except ValueError:
            raise HostProtocolError(f"error byte {code} is unknown") from None

    def _receive(self, size: int) -> bytes:
        if not size:
            return b""
        part = self._receive_part(size)
        if len(part) == size:
            return part
        parts, size = [part], size - len(part)
        timeout = self._connection.gettimeout()
        end = math.inf if timeout is None else time.monotonic() + timeout
        while size:
            if time.monotonic() > end:
                raise HostProtocolError(f"the host is gone: {timeout} s for a part of an answer")
            part = self._receive_part(size)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _receive_part(self, size: int) -> bytes:
        try:
            part = self._connection.recv(min(size, 1 << 20))
        except OSError as error:
            raise HostProtocolError(f"the host is gone: {error}") from error
        if not part:
            raise HostProtocolError("the host closed the connection in the middle of an answer")
        return part

"""The executor's side of the host protocol: blocking calls over sockets.

Source: docs/spec/04-executor.md#host-protocol.

The executor pays for this module's imports at each start, so it keeps to the light ones.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from .messages import (
    BALANCE_SIZE,
    ETH_CALL,
    MAX_BLOB,
    STORAGE_READ,
    U32,
    U64,
    HostErrorCode,
    HostProtocolError,
    HostRefusal,
    Method,
    StorageRead,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from genvm_manager.protocol.calldata import Address


_PAUSE = 0.01
"""Seconds between two looks at whether a guest has its answer."""


class HostClient:
    """All hosts of a run as one: each method goes to the host that serves it.

    `connections` are in the order of host indexes. `method_hosts` gives the index of the host for
    each method id; a method beyond its end, or an index without a connection, means host 0.
    `waiting` is entered while a host is asked something for a contract, one request at a time.

    Each call may raise `HostRefusal`, and `HostProtocolError` once a host is gone. A time-out of
    the socket counts as gone, and so does an answer that goes on for longer than that.
    """

    def __init__(
        self,
        connections: Sequence[socket.socket],
        method_hosts: Sequence[int] = (),
        waiting: AbstractContextManager[None] | None = None,
    ) -> None:
        self.method_hosts = method_hosts
        self._connections = [_Connection(each) for each in connections]
        self._waiting = _Waiting(nullcontext() if waiting is None else waiting)

    def storage_read(self, request: StorageRead) -> bytes:
        """Return exactly `request.length` bytes of storage."""
        kind, address, slot, offset, length = request
        with self._waiting:
            host = self._serving(Method.STORAGE_READ)
            arguments = STORAGE_READ.pack(kind, bytes(address), slot, offset, length)
            host.send(Method.STORAGE_READ, arguments)
            host.check()
            return host.receive(length)

    def consume_fuel(self, amount: int) -> None:
        """Take `amount` of the run's fuel. Nothing answers this."""
        with self._waiting:
            self._serving(Method.CONSUME_FUEL).send(Method.CONSUME_FUEL, U64.pack(amount))

    def eth_call(self, address: Address, calldata: bytes) -> bytes:
        """Return what the contract at `address` on the Ethereum chain returned."""
        with self._waiting:
            host = self._serving(Method.ETH_CALL)
            host.send(Method.ETH_CALL, ETH_CALL.pack(bytes(address), len(calldata)) + calldata)
            host.check()
            size = U32.unpack(host.receive(U32.size))[0]
            if size > MAX_BLOB:
                raise HostProtocolError(f"the host announced {size} bytes, the limit is {MAX_BLOB}")
            return host.receive(size)

    def get_balance(self, address: Address) -> int:
        """Return what the account at `address` owned before this run."""
        with self._waiting:
            host = self._serving(Method.GET_BALANCE)
            host.send(Method.GET_BALANCE, bytes(address))
            host.check()
            return int.from_bytes(host.receive(BALANCE_SIZE), "little")

    def remaining_fuel_as_gen(self) -> int:
        """Return how much fuel the run has left."""
        with self._waiting:
            host = self._serving(Method.REMAINING_FUEL_AS_GEN)
            host.send(Method.REMAINING_FUEL_AS_GEN)
            host.check()
            return int.from_bytes(host.receive(U64.size), "little")

    def notify_nondet_disagreement(self, call_number: int) -> None:
        """Report that this validator does not accept the leader's result of a nondet block."""
        method = Method.NOTIFY_NONDET_DISAGREEMENT
        with self._waiting:
            self._serving(method).send(method, U32.pack(call_number))

    def consume_result(self, result: bytes) -> None:
        """Hand over the encoded result, and return once the host has it.

        A guest that was left behind may still be inside `waiting`, so it is not entered here.
        """
        host = self._serving(Method.CONSUME_RESULT)
        host.send(Method.CONSUME_RESULT, U32.pack(len(result)) + result)
        host.receive(1)

    def notify_finished(self) -> None:
        """Send `notify_finished`. Newer hosts close instead of answering; both mean done."""
        host = self._serving(Method.NOTIFY_FINISHED)
        try:
            host.send(Method.NOTIFY_FINISHED)
            host.receive(1)
        except HostProtocolError:
            return

    def close_to_guests(self) -> bool:
        """Refuse what guests ask from now on; return whether one still waits for an answer."""
        self._waiting.is_closed = True
        return self._waiting.is_entered

    def leave(self, result: bytes, seconds: float) -> None:
        """Hand over the result and finish while a guest may still wait for an answer.

        Both are sent behind its question. Answers are waited for at most `seconds`, those to the
        guest first; a host that gives none has the result all the same once it goes on.
        """
        for connection in self._connections:
            connection.limit(seconds)
        end = time.monotonic() + seconds
        consumer, last = map(self._serving, (Method.CONSUME_RESULT, Method.NOTIFY_FINISHED))
        with suppress(HostProtocolError):
            consumer.send(Method.CONSUME_RESULT, U32.pack(len(result)) + result)
        with suppress(HostProtocolError):
            last.send(Method.NOTIFY_FINISHED)
        while self._waiting.is_entered and time.monotonic() < end:
            time.sleep(_PAUSE)
        if not self._waiting.is_entered:
            with suppress(HostProtocolError):
                consumer.receive(1)
                last.receive(1)

    def _serving(self, method: Method) -> _Connection:
        index = self.method_hosts[method] if method < len(self.method_hosts) else 0
        return self._connections[index if index < len(self._connections) else 0]


class _Waiting:
    """Is entered for each question of a guest, which it refuses once it is closed."""

    __slots__ = ("_inner", "is_closed", "is_entered")

    def __init__(self, inner: AbstractContextManager[None]) -> None:
        self._inner = inner
        self.is_entered = False
        self.is_closed = False

    def __enter__(self) -> None:
        self.is_entered = True  # First, so that who closes it sees this question, or it is refused.
        if self.is_closed:
            self.is_entered = False
            raise HostProtocolError("the run was told to stop")
        self._inner.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._inner.__exit__(*raised)
        self.is_entered = False


class _Connection:
    """One host: bytes sent and received over a blocking socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def limit(self, seconds: float) -> None:
        """Let what is sent and received from now on take at most `seconds`."""
        self._connection.settimeout(seconds)

    def send(self, method: Method, arguments: bytes = b"") -> None:
        try:
            self._connection.sendall(bytes([method]) + arguments)
        except OSError as error:
            raise HostProtocolError(f"the host is gone: {error}") from error

    def check(self) -> None:
        """Read the error byte of an answer. Raise `HostRefusal` unless it is 0."""
        code = self.receive(1)[0]
        if code == HostErrorCode.OK:
            return
        try:
            raise HostRefusal(HostErrorCode(code))
        except ValueError:
            raise HostProtocolError(f"error byte {code} is unknown") from None

    def receive(self, size: int) -> bytes:
        """Return exactly `size` bytes; all of them have to arrive within one time-out."""
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

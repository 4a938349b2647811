"""The node's side of the host protocol for one run (docs/spec/04-executor.md#host-protocol)."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from genvm_manager.base.files.state_folder import MAX_SOCKET_PATH
from genvm_manager.base.files.temporary_files import NODE_FOLDER, NODE_SOCKET, temporary_folder
from genvm_manager.base.process.threads import start_thread
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.messages import (
    MAX_BLOB,
    ConsumeFuel,
    ConsumeResult,
    EthCall,
    GetBalance,
    HostErrorCode,
    HostProtocolError,
    HostRefusal,
    NotifyNondetDisagreement,
    StorageRead,
)
from genvm_manager.protocol.host.server import serve

from .ledger import Ledger

FUEL = (1 << 64) - 1
"""Fuel is free here, so the remaining fuel is the largest number of the protocol."""


class LedgerHost:
    """Answers the requests of one run from the ledger's present state.

    `value` was sent with the call to `callee`: during the run it already counts as the callee's.
    The local node has no other chain, so `eth_call` finds nothing, and each requested state of a
    contract is its latest.
    """

    def __init__(self, ledger: Ledger, callee: Address, value: int) -> None:
        self._ledger = ledger
        self._callee = callee
        self._value = value

    @property
    def major(self) -> int:
        """The callee's public-ABI major, which was set by its deployment."""
        return self._ledger.major(self._callee)

    def storage_read(self, request: StorageRead) -> bytes:
        """Return bytes of a slot. Raises `HostRefusal` for a request that is too large."""
        if request.length > MAX_BLOB:
            raise HostRefusal(HostErrorCode.OUT_OF_STORAGE_GAS)
        if not request.length:
            return b""
        return self._ledger.read_storage(
            request.address, request.slot, request.offset, request.length
        )

    def consume_fuel(self, request: ConsumeFuel) -> None:
        """Do nothing: see `FUEL`."""

    def eth_call(self, request: EthCall) -> bytes:  # noqa: ARG002
        """Raise `HostRefusal`: there is no other chain."""
        raise HostRefusal(HostErrorCode.ABSENT)

    def get_balance(self, request: GetBalance) -> int:
        """Return the balance of an account."""
        carried = self._value if request.address == self._callee else 0
        return self._ledger.balance(request.address) + carried

    def remaining_fuel_as_gen(self) -> int:
        """Return `FUEL`."""
        return FUEL

    def notify_nondet_disagreement(self, request: NotifyNondetDisagreement) -> None:
        """Do nothing: the result tells the same again."""

    def consume_result(self, request: ConsumeResult) -> None:
        """Do nothing: results go to the supervisor, which returns them over HTTP."""


@contextmanager
def serving(answers: LedgerHost, *, is_private: bool = True) -> Iterator[str]:
    """Serve one executor in a thread; yield the `host` of its run request.

    If `is_private`, listen on a socket in a folder that only this user can access, else on a
    loopback port, because an executor of another user may not see this user's files. The socket
    and the thread end with the context, whether or not the executor has connected. Raises `OSError`
    if there can be no socket or no thread.
    """
    with ExitStack() as stack:
        listener = _listen_in_private(stack) if is_private else _listen_on_loopback(stack)
        thread = _HostThread(listener, answers)
        start_thread(thread)
        try:
            yield _address(listener)
        finally:
            thread.end()


def _listen_in_private(stack: ExitStack) -> socket.socket:
    path = stack.enter_context(temporary_folder(NODE_FOLDER)) / NODE_SOCKET
    if len(bytes(path)) > MAX_SOCKET_PATH:
        reason = "TMPDIR is too long a path for a socket; set a shorter one"
        raise OSError(errno.ENAMETOOLONG, reason, str(path))
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(path))
    listener.listen(1)
    return listener


def _listen_on_loopback(stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))


def _address(listener: socket.socket) -> str:
    """Return the listener's address as in a run request."""
    if listener.family == socket.AF_UNIX:
        return f"unix://{listener.getsockname()}"
    host, port = listener.getsockname()
    return f"tcp://{host}:{port}"


class _HostThread(threading.Thread):
    """Waits for one executor and answers it until it has finished or disconnected."""

    def __init__(self, listener: socket.socket, answers: LedgerHost) -> None:
        super().__init__(name="local-node-host", daemon=True)
        self._listener = listener
        self._answers = answers
        self._connection: socket.socket | None = None
        self._is_over = False
        self._failure: Exception | None = None

    def run(self) -> None:
        try:
            self._serve()
        except (OSError, HostProtocolError):
            pass  # The executor has disconnected; HTTP tells how its run ended.
        except Exception as error:
            self._failure = error

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            self._connection = connection
            if not self._is_over:
                serve(connection, self._answers)

    def end(self) -> None:
        """Wake the thread, wait for its end, and raise the error that it failed with."""
        self._is_over = True
        for waited_on in (self._listener, self._connection):
            with suppress(OSError):
                if waited_on is not None:
                    waited_on.shutdown(socket.SHUT_RDWR)
        self.join()
        if self._failure is not None:
            raise self._failure

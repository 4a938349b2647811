"""The node's host loop, served by the supervisor: for a run whose contract no node has.

Source: docs/spec/06-contracts.md#storage-layout-and-calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import NoReturn

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.code import MAX_CODE
from genvm_manager.protocol.contract.storage_layout import CODE_SLOT, stored_code
from genvm_manager.protocol.host.messages import (
    EthCall,
    GetBalance,
    HostErrorCode,
    HostProtocolError,
    HostRefusal,
    NotifyFinished,
    Request,
    StorageRead,
)
from genvm_manager.protocol.host.server import Host, RequestParser, answer

MAX_READ = MAX_CODE + 4096
"""Most bytes of one storage read."""

_CHUNK = 1 << 16


class CodeStorage:
    """What a node would answer about a contract that has its code and nothing else, not even value.

    Only that contract's storage can be read. All other requests are refused.
    """

    def __init__(self, contract: Address, code: bytes) -> None:
        self._contract = contract
        self._stored = stored_code(code)

    @property
    def size(self) -> int:
        """Bytes of memory that the stored code takes."""
        return len(self._stored)

    def storage_read(self, request: StorageRead) -> bytes:
        """Return a part of the contract's storage. Raise `HostRefusal`."""
        if request.address != self._contract:
            raise HostRefusal(HostErrorCode.FORBIDDEN)
        if request.length > MAX_READ:
            raise HostRefusal(HostErrorCode.OUT_OF_STORAGE_GAS)
        stored = self._stored if request.slot == CODE_SLOT else b""
        found = stored[request.offset : request.offset + request.length]
        return found.ljust(request.length, b"\0")

    def get_balance(self, _: GetBalance) -> int:
        """Return 0: the contract owns nothing."""
        return 0

    def consume_fuel(self, _: Request) -> None:
        """Do nothing: a schema costs no fuel. The protocol has no answer to it."""

    def eth_call(self, _: EthCall) -> bytes:
        """Refuse."""
        raise HostRefusal(HostErrorCode.FORBIDDEN)

    def remaining_fuel_as_gen(self) -> int:
        """Refuse."""
        raise HostRefusal(HostErrorCode.FORBIDDEN)

    def notify_nondet_disagreement(self, request: Request) -> NoReturn:
        """End the connection."""
        raise _not_served(request)

    def consume_result(self, request: Request) -> NoReturn:
        """End the connection: the result goes to another one."""
        raise _not_served(request)


def _not_served(request: Request) -> HostProtocolError:
    return HostProtocolError(f"{type(request).__name__} is not served here")


class CodeHost:
    """Serves one executor at a Unix socket in the run's scratch folder, until `close`."""

    def __init__(self, folder: str, storage: Host, run_id: int, log: EventLog) -> None:
        """Listen. Raise `OSError`; nothing is left open then."""
        # The path is no longer than that of the supervisor's socket, which is known to fit.
        self._path = f"{folder}/host"
        self._storage = storage
        self._run_id = run_id
        self._log = log
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._listener.bind(self._path)
            self._listener.listen(1)
        except OSError:
            self._listener.close()
            raise
        self._serving = asyncio.create_task(self._serve(), name=f"code host of run {run_id}")

    @property
    def address(self) -> str:
        """The address, as the executor's command line takes it."""
        return f"unix://{self._path}"

    async def close(self) -> None:
        """Close the connection and remove the socket."""
        self._serving.cancel()
        await asyncio.wait({self._serving})
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    async def _serve(self) -> None:
        connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        with connection:
            try:
                await self._answer(connection)
            except (HostProtocolError, OSError) as error:
                self._log.warning("code_host_hung_up", run=self._run_id, error=str(error))

    async def _answer(self, connection: socket.socket) -> None:
        """Answer one request at a time: the next is read when the answer is sent."""
        loop = asyncio.get_running_loop()
        parser = RequestParser(max_blob=_CHUNK)
        while received := await loop.sock_recv(connection, _CHUNK):
            for request in parser.feed(received):
                await loop.sock_sendall(connection, answer(self._storage, request))
                if isinstance(request, NotifyFinished):
                    return

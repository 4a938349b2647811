"""A node for tests: serves the host protocol over a Unix socket, with dicts for storage.

`run_executor` drives the built-in executor as the supervisor does: its own socketpair for the
result, a pipe for the log, execution data on stdin.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.executor import ExecutionData, ModuleDescriptors, RunArguments
from genvm_manager.protocol.host.messages import (
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
from genvm_manager.protocol.permissions import DEFAULT_PERMISSIONS
from genvm_manager.protocol.run_result import RunResult, decode_result

from .module_server import ModuleServer
from .waiting import TIMEOUT

PAGE = 32
DEADLINE = TIMEOUT


class NodeHost:
    """State that executors read, and what they told: one object for any number of runs.

    `requests` notes every request by name; `eth_answers` maps calldata to what `eth_call` gives.
    """

    def __init__(self) -> None:
        self.pages: dict[Address, dict[bytes, bytes]] = defaultdict(dict)
        self.balances: dict[Address, int] = defaultdict(int)
        self.eth_answers: dict[bytes, bytes] = {}
        self.results: list[bytes] = []
        self.disagreements: list[int] = []
        self.finished: list[bool] = []
        self.requests: list[str] = []
        self.fuel = 0
        self.consumed: list[int] = []

    def apply(self, address: Address, changes: Sequence[tuple[bytes, bytes]]) -> None:
        """Make the storage changes of a result part of the state."""
        self.pages[address].update(changes)

    def storage_read(self, request: StorageRead) -> bytes:
        """Return stored bytes."""
        self.requests.append("storage_read")
        pages = self.pages[request.address]
        if not pages:
            return bytes(request.length)
        first, skipped = divmod(request.offset, PAGE)
        last = (request.offset + request.length + PAGE - 1) // PAGE
        keys = (request.slot + number.to_bytes(4, "big") for number in range(first, last))
        whole = b"".join(pages.get(key, bytes(PAGE)) for key in keys)
        return whole[skipped : skipped + request.length]

    def consume_fuel(self, request: ConsumeFuel) -> None:
        """Note the fuel."""
        self.requests.append("consume_fuel")
        self.consumed.append(request.amount)

    def eth_call(self, request: EthCall) -> bytes:
        """Return the Ethereum contract's answer."""
        self.requests.append("eth_call")
        if request.calldata not in self.eth_answers:
            raise HostRefusal(HostErrorCode.ABSENT)
        return self.eth_answers[request.calldata]

    def get_balance(self, request: GetBalance) -> int:
        """Return a balance."""
        self.requests.append("get_balance")
        return self.balances[request.address]

    def remaining_fuel_as_gen(self) -> int:
        """Return the fuel that is left."""
        return self.fuel

    def notify_nondet_disagreement(self, request: NotifyNondetDisagreement) -> None:
        """Note the disagreement."""
        self.disagreements.append(request.call_number)

    def consume_result(self, request: ConsumeResult) -> None:
        """Keep the result."""
        self.results.append(request.result)

    @contextlib.contextmanager
    def listen(self, path: Path) -> Iterator[str]:
        """Serve runs, one after another, at a Unix socket; gives its `unix://` address."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(16)
            with self.accept_from(listener):
                yield f"unix://{path}"
            path.unlink()

    @contextlib.contextmanager
    def accept_from(self, listener: socket.socket) -> Iterator[None]:
        """Serve runs, one after another, that connect to a listening socket."""
        thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        """Answer one connection to its end."""
        with connection:
            try:
                self.finished.append(serve(connection, self))
            except (HostProtocolError, OSError):
                self.finished.append(False)


@dataclass
class Ended:
    """How one executor process ended. `result` is None when it handed none over."""

    exit_code: int
    result: RunResult | None
    stdout: bytes
    stderr: bytes
    log: list[dict[str, Any]] = field(default_factory=list)


BUILT_IN = (sys.executable, "-m", "genvm_manager.workers.genvm")


def run_executor(
    host: str,
    stdin: ExecutionData | bytes,
    *,
    options: Sequence[str] = (),
    permissions: str = DEFAULT_PERMISSIONS,
    extra_args: Sequence[str] = (),
    command: Sequence[str] = BUILT_IN,
    environment: dict[str, str] | None = None,
    modules: tuple[ModuleServer, ModuleServer] | None = None,
    is_sync: bool = False,
    timeout: float = DEADLINE,
) -> Ended:
    """Start an executor on the host at `host`, feed it, and gather all that it says.

    `options` stand before the command line of docs/spec/04-executor.md, as a manifest's `command`
    puts them.
    `modules`: the LLM module and the web module.
    """
    ours, theirs = socket.socketpair()
    log_reader, log_writer = os.pipe()
    results = NodeHost()
    server = threading.Thread(target=results.serve, args=(ours,), daemon=True)
    server.start()
    log = _Drain(log_reader)
    asked = [module.connect() for module in modules or ()]
    arguments = RunArguments(
        log_fd=log_writer,
        extra_args=list(extra_args),
        is_sync=is_sync,
        host=host,
        result_fd=theirs.fileno(),
        permissions=permissions,
        modules=ModuleDescriptors(*(each.fileno() for each in asked)),
        genvm_id=1,
    )
    process = subprocess.Popen(
        [*command, *options, *arguments.argv()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(log_writer, theirs.fileno(), *(each.fileno() for each in asked)),
        env=environment,
    )
    os.close(log_writer)
    for passed in (theirs, *asked):
        passed.close()
    try:
        fed = stdin if isinstance(stdin, bytes) else stdin.encode()
        stdout, stderr = process.communicate(fed, timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    server.join(DEADLINE)
    encoded = results.results[0] if results.results else None
    result = None if encoded is None else decode_result(encoded)
    return Ended(process.returncode, result, stdout, stderr, log.records())


class _Drain:
    """Reads a pipe to its end, so that nobody who writes there has to wait."""

    def __init__(self, descriptor: int) -> None:
        self._file = open(descriptor, "rb")  # noqa: SIM115 (closed by the thread)
        self._content = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._file:
            self._content = self._file.read()

    def records(self) -> list[dict[str, Any]]:
        self._thread.join(DEADLINE)
        return [json.loads(line) for line in self._content.splitlines()]

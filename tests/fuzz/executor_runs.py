"""Runs of the executor whose host is this thread: by a fork, or by the real command line."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.storage_layout import CODE_SLOT, stored_code
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.host.messages import GetBalance, HostErrorCode, HostRefusal, StorageRead
from genvm_manager.protocol.permissions import DEFAULT_PERMISSIONS
from genvm_manager.workers.genvm import cli
from genvm_manager.workers.genvm.run import run
from tests.support.calls import CONTRACT, OTHER
from tests.support.node_host import NodeHost
from tests.support.wat import returns

PROJECT = Path(__file__).resolve().parents[2]

MAX_OUTPUT = 512 << 20
"""Bytes of one file that a run may write."""

_TIMEOUT = 180.0
_LOADED = run
"""The executor, imported before the first copy is made."""


class Order(NamedTuple):
    """One run: what it reads from stdin and its command line. `stored` is the contract's code
    where it is deployed already. `is_refused`: its host answers some questions with an error."""

    data: ExecutionData
    options: Sequence[str]
    permissions: str = DEFAULT_PERMISSIONS
    is_sync: bool = False
    stored: bytes | None = None
    is_refused: bool = False


class Ended(NamedTuple):
    """How one run ended. `exit_code` is negative for a signal; `result` is as handed over."""

    exit_code: int
    result: bytes | None
    output: bytes
    log: bytes
    seconds: float
    memory: int


class FuzzNode(NodeHost):
    """A node on which the contract is rich and one other contract exists."""

    def __init__(self, stored: bytes | None = None, *, refuses: bool = False) -> None:
        super().__init__()
        self._refuses = refuses
        self.balances[CONTRACT] = 1000
        self._store(OTHER, returns({"answer": 42}))
        if stored is not None:
            self._store(CONTRACT, stored)

    def _store(self, address: Address, code: bytes) -> None:
        stored = stored_code(code)
        for number in range(0, len(stored), 32):
            page = stored[number : number + 32].ljust(32, b"\0")
            self.pages[address][CODE_SLOT + (number // 32).to_bytes(4, "big")] = page

    def storage_read(self, request: StorageRead) -> bytes:
        """Return what is stored, or refuse. Empty pages take no memory."""
        self._refuse_some(request.slot + request.offset.to_bytes(4, "little"))
        if not self.pages[request.address]:
            return bytes(request.length)
        return super().storage_read(request)

    def get_balance(self, request: GetBalance) -> int:
        """Return a balance, or refuse."""
        self._refuse_some(bytes(request.address))
        return super().get_balance(request)

    def _refuse_some(self, question: bytes) -> None:
        """Refuse some questions, always the same ones for the same reasons."""
        chance = zlib.crc32(question)
        if self._refuses and chance % 5 == 0:
            raise HostRefusal(list(HostErrorCode)[1 + chance % 3])


Start = Callable[[Sequence[str], "_Files"], int]
"""Starts an executor with these arguments and files; its pid."""


class _Files(NamedTuple):
    """Files in memory: what an executor reads from stdin, and what it writes."""

    stdin: int
    output: int
    log: int

    @classmethod
    def of(cls, stdin: bytes) -> _Files:
        files = cls(*(os.memfd_create(name) for name in cls._fields))
        os.write(files.stdin, stdin)
        os.lseek(files.stdin, 0, os.SEEK_SET)
        return files


def run_executor(start: Start, order: Order) -> Ended:
    """Run an executor to its end."""
    files, host = _Files.of(order.data.encode()), FuzzNode(order.stored, refuses=order.is_refused)
    ours, theirs = socket.socketpair()
    told = [f"--log-fd={files.log}", *order.options, "run", f"--host=fd://{theirs.fileno()}"]
    told += ["--sync"] if order.is_sync else []
    os.set_inheritable(theirs.fileno(), True)
    os.set_inheritable(files.log, True)
    pid = start([*told, f"--permissions={order.permissions}", "--genvm-id=1"], files)
    theirs.close()
    timer = threading.Timer(_TIMEOUT, os.kill, (pid, signal.SIGKILL))
    timer.start()
    host.serve(ours)
    _, status, usage = os.wait4(pid, 0)
    timer.cancel()
    timer.join()
    os.close(files.stdin)
    return Ended(
        os.waitstatus_to_exitcode(status),
        host.results[-1] if host.results else None,
        _content(files.output),
        _content(files.log),
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss << 10,
    )


def _content(descriptor: int) -> bytes:
    """Return what is in a file in memory, which is then closed."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:
        return file.read()


def forked(arguments: Sequence[str], files: _Files) -> int:
    """Start the executor in a copy of this process, which has imported it already; its pid."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        for target, source in enumerate((files.stdin, files.output, files.output)):
            os.dup2(source, target)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_OUTPUT, MAX_OUTPUT))
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        status = cli.main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def spawned(arguments: Sequence[str], files: _Files) -> int:
    """Start the executor by its command line, and return its pid."""
    targets = (files.stdin, files.output, files.output)
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "genvm_manager.workers.genvm", *arguments],
        {**os.environ, "PYTHONPATH": str(PROJECT)},
        file_actions=[(os.POSIX_SPAWN_DUP2, each, at) for at, each in enumerate(targets)],
    )

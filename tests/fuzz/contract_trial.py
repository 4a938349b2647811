"""Contract code in the executor: what must hold for any code, whatever it is.

Most inputs are deployed in a copy of this process, by the executor's own entry point, which saves
its start; some are deployed a second time, when their module is compiled already, and some by the
real command line. All of them must hand over the same result.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from protocol.executor import ExecutionData
from protocol.host import StorageRead
from protocol.run_result import ResultCode, ResultError, RunResult, decode_result
from protocol.storage_layout import CODE_SLOT, stored_code
from tests.support.calls import CONTRACT, MESSAGE, OTHER
from tests.support.node_host import NodeHost
from tests.support.wat import returns
from workers.genvm import cli, run

from .observation import Observation
from .target import Tester

PROJECT = Path(__file__).resolve().parents[2]

MEMORY = 64 << 20
"""Bytes that a contract may have."""

MAX_MEMORY = 768 << 20
"""Bytes that an executor may have at most: the contract's, what it keeps for it, and its module."""

OVERRUN = 8.0
"""Seconds of processor time that a run may take beyond its limit: to read its code, to compile it
and to hand over a result."""

MAX_OUTPUT = 512 << 20
"""Bytes of one file that a run may write."""

_TWICE_EVERY, _REALLY_EVERY = 4, 40
_PATIENCE = 180.0
_LOADED = run
"""The executor, imported before the first copy is made."""

_IN_MEMORY = "/dev/shm"
_OURS = re.compile(rb'File \\?"(?!/genvm/|/contract|<)|' + re.escape(str(PROJECT).encode()))
"""What tells of our files. Tracebacks of a Python contract name those that it sees."""

_WITHOUT_MODULE = "the run was started without the"


class Ended(NamedTuple):
    """How one run ended. `exit_code` is negative for a signal; `result` is as handed over."""

    exit_code: int
    result: bytes | None
    output: bytes
    log: bytes
    seconds: float
    memory: int


class World(NodeHost):
    """A node: the contract is rich, and one other contract is there. Empty pages cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.balances[CONTRACT] = 1000
        stored = stored_code(returns({"answer": 42}))
        for number in range(0, len(stored), 32):
            page = stored[number : number + 32].ljust(32, b"\0")
            self.pages[OTHER][CODE_SLOT + (number // 32).to_bytes(4, "big")] = page

    def storage_read(self, request: StorageRead) -> bytes:
        if not self.pages[request.address]:
            return bytes(request.length)
        return super().storage_read(request)


@contextmanager
def contract_tester(seconds: float, *, starts_python: bool = False) -> Iterator[Tester]:
    """Deploys code, each run with so many seconds as its limit.

    The cache of compiled modules is one of its own, in memory; that of the user is used where runs
    start Python, which takes long to compile.
    """
    with tempfile.TemporaryDirectory(prefix="genvm-fuzz-", dir=_IN_MEMORY) as folder:
        options = [f"--memory-limit={MEMORY}", f"--max-seconds={seconds}"]
        if starts_python:
            _compile_python()
        else:
            options.append(f"--cache-dir={folder}")
        yield lambda inputs: (_observed(code, seconds, options) for code in inputs)


def _compile_python() -> None:
    command = [sys.executable, "-m", "workers.genvm", "check", "--precompile"]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)


def _observed(code: bytes, seconds: float, options: Sequence[str]) -> Observation:
    data = ExecutionData(b"\x0e\x00", MESSAGE | {"is_init": True}, "", code, None, {}).encode()
    starts = [_forked]
    chance = zlib.crc32(code)
    if chance % _TWICE_EVERY == 0:
        starts.append(_forked)
    if chance % _REALLY_EVERY == 1:
        starts.append(_spawned)
    ends = [_run(start, data, options) for start in starts]
    faults = [fault for ended in ends for fault in faults_of(ended, seconds)]
    faults += differences([ended.result for ended in ends])
    return Observation(
        _outcome(ends[0]),
        max(ended.seconds for ended in ends),
        max(ended.memory for ended in ends),
        tuple(dict.fromkeys(faults)),
    )


# --------------------------------------------------------------------------------------- running

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


def _run(start: Start, data: bytes, options: Sequence[str]) -> Ended:
    """One run of an executor, whose host is this thread."""
    files, host = _Files.of(data), World()
    ours, theirs = socket.socketpair()
    told = [f"--log-fd={files.log}", *options, "run", f"--host=fd://{theirs.fileno()}"]
    os.set_inheritable(theirs.fileno(), True)
    os.set_inheritable(files.log, True)
    pid = start([*told, "--permissions=rwscn", "--genvm-id=1"], files)
    theirs.close()
    timer = threading.Timer(_PATIENCE, os.kill, (pid, signal.SIGKILL))
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
    """What is in a file in memory, which is then closed."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:
        return file.read()


def _forked(arguments: Sequence[str], files: _Files) -> int:
    """The executor in a copy of this process, which has imported it already."""
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


def _spawned(arguments: Sequence[str], files: _Files) -> int:
    """The executor by its command line."""
    targets = (files.stdin, files.output, files.output)
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "workers.genvm", *arguments],
        {**os.environ, "PYTHONPATH": str(PROJECT)},
        file_actions=[(os.POSIX_SPAWN_DUP2, each, at) for at, each in enumerate(targets)],
    )


# --------------------------------------------------------------------------------------- judging


def faults_of(ended: Ended, limit: float) -> Iterator[str]:
    """What is wrong with the end of one run, whose host was well."""
    if ended.exit_code != 0:
        yield f"exit code {ended.exit_code}"
    if ended.result is None:
        yield "no result was handed over"
    else:
        yield from _faults_of_result(ended.result)
    if found := _OURS.search(ended.output):
        around = ended.output[max(0, found.start() - 100) : found.end() + 200]
        yield f"the output tells of our insides: {around!r}"
    if ended.seconds > limit + OVERRUN:
        yield f"it took {ended.seconds:.1f} s of processor time, its limit was {limit:g} s"
    if ended.memory > MAX_MEMORY:
        yield f"it had {ended.memory >> 20} MiB of memory"


def _faults_of_result(encoded: bytes) -> Iterator[str]:
    if _OURS.search(encoded):
        yield f"the result tells of our insides: {encoded[:300]!r}"
    try:
        result = decode_result(encoded)
    except ResultError as error:
        yield f"the result is none: {error}"
        return
    if result.code is ResultCode.INTERNAL_ERROR and not _is_expected(result):
        yield f"an internal error: {result.data}"


def _is_expected(result: RunResult) -> bool:
    """There are no modules here, and a contract may ask for one."""
    return _WITHOUT_MODULE in str(result.data)


def differences(results: list[bytes | None]) -> Iterator[str]:
    """A time-out may come at any moment, and a nondet block may do as it likes."""
    decoded = [_decoded(result) for result in results]
    known = [each for each in decoded if each is not None and not each.nondet_results]
    lasting = [each for each in known if (each.code, each.data) != (ResultCode.VM_ERROR, "timeout")]
    for other in lasting[1:]:
        if other != lasting[0]:
            yield (
                f"the same run ended as {_named(lasting[0])} and as {_named(other)}, hashes "
                f"{lasting[0].execution_hash.hex()[:8]} and {other.execution_hash.hex()[:8]}"
            )


def _decoded(encoded: bytes | None) -> RunResult | None:
    with suppress(ResultError):
        return None if encoded is None else decode_result(encoded)
    return None


def _named(result: RunResult) -> str:
    data = f" {result.data}" if result.code is ResultCode.VM_ERROR else ""
    return result.code.name.lower() + data[:60]


def _outcome(ended: Ended) -> str:
    """The kind of end, with the reason in the log where the code was refused."""
    result = _decoded(ended.result)
    if result is None:
        return "no result"
    named = _named(result)
    if not named.startswith("vm_error invalid_contract"):
        return re.sub(r"\d+", "N", named)
    reason = re.search(rb"cannot be started: ([^\"\\]*)", ended.log)
    words = reason[1].decode("utf-8", "replace") if reason else ""
    return f"{named}: {' '.join(re.sub(r'[0-9]+', 'N', words).split()[:6])}"

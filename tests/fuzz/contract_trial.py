"""Contract code in the executor: what must hold for any code, whatever it is.

Every input is deployed. Some are deployed a second time, when their module is compiled already,
and some by the real command line: all of them must hand over the same result. Some are called
besides, with other permissions, and as a validator's run or a replay.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache

from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.permissions import DEFAULT_PERMISSIONS
from genvm_manager.protocol.run_result import ResultCode, RunResult, decode_result
from tests.support.calls import MESSAGE

from .executor_runs import PROJECT, Ended, Order, forked, run_executor, spawned
from .observation import Observation
from .target import Tester

MEMORY = 64 << 20
"""Bytes that a contract may have."""

MAX_MEMORY = 768 << 20
"""Bytes that an executor may have at most: the contract's, what it keeps for it, and its module."""

OVERRUN = 8.0
"""Seconds of processor time that a run may take beyond its limit: to read its code, to compile it
and to hand over a result."""

_TWICE_EVERY, _REALLY_EVERY, _CALLED_EVERY = 4, 40, 5
_IN_MEMORY = "/dev/shm"
_OURS = re.compile(rb'File \\?"/(?!genvm/)|' + re.escape(str(PROJECT).encode()))
"""What tells of our files. Tracebacks of a Python contract name those that it sees."""

_EXPECTED = ("the run was started without the", "cannot be replayed")
"""Of internal errors: there are no modules here, and leaders' results are odd."""


@contextmanager
def contract_tester(seconds: float, *, starts_python: bool = False) -> Iterator[Tester]:
    """Return a function that runs code, each run with so many seconds as its limit.

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
    command = [sys.executable, "-m", "genvm_manager.workers.genvm", "check", "--precompile"]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)


def _observed(code: bytes, seconds: float, options: Sequence[str]) -> Observation:
    message = MESSAGE | {"is_init": True}
    deployment = Order(ExecutionData(b"\x0e\x00", message, "", code, None, {}), options)
    chance = zlib.crc32(code)
    starts = [forked]
    starts += [forked] if chance % _TWICE_EVERY == 0 else []
    starts += [spawned] if chance % _REALLY_EVERY == 1 else []
    ends = [run_executor(start, deployment) for start in starts]
    different = list(differences([ended.result for ended in ends]))
    if chance % _CALLED_EVERY == 0:
        ends.append(run_executor(forked, _call(code, chance, options)))
    faults = [fault for ended in ends for fault in faults_of(ended, seconds)]
    return Observation(
        _outcome(ends[0]),
        max(ended.seconds for ended in ends),
        max(ended.memory for ended in ends),
        tuple(dict.fromkeys(faults + different)),
    )


def _call(code: bytes, chance: int, options: Sequence[str]) -> Order:
    """Return a call of code that is deployed already."""
    results = [code[:9], b"\x00\x00", b"\x01" + code[8:40], b"\x02OOM", b""]
    rotated = results[chance % 7 % 5 :]
    data = ExecutionData(
        calldata=code[-(chance % 50) :],
        message=MESSAGE | {"value": chance},
        host_data="",
        code=None,
        leader_nondet_results=None if chance % 3 else rotated,
        extras={},
    )
    permissions = "".join(
        letter for at, letter in enumerate(DEFAULT_PERMISSIONS) if chance >> at & 1
    )
    is_refused = chance % 4 == 1
    return Order(data, options, permissions, chance % 11 == 0, stored=code, is_refused=is_refused)


def faults_of(ended: Ended, limit: float) -> Iterator[str]:
    """Yield what is wrong with the end of one run, whose host was well."""
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
    result = _decoded(encoded)
    if result is None:
        yield f"the result is none: {encoded[:300]!r}"
    elif result.code is ResultCode.INTERNAL_ERROR and not _is_expected(result):
        yield f"an internal error: {result.data}"


def _is_expected(result: RunResult) -> bool:
    return any(known in str(result.data) for known in _EXPECTED)


def differences(results: list[bytes | None]) -> Iterator[str]:
    """Yield how results of the same run differ.

    A time-out may come at any moment, and a nondet block may do as it likes.
    """
    decoded = [_decoded(result) for result in dict.fromkeys(results)]
    known = [each for each in decoded if each is not None and not each.nondet_results]
    lasting = [each for each in known if (each.code, each.data) != (ResultCode.VM_ERROR, "timeout")]
    for other in lasting[1:]:
        if other != lasting[0]:
            yield (
                f"the same run ended as {_named(lasting[0])} and as {_named(other)}, hashes "
                f"{lasting[0].execution_hash.hex()[:8]} and {other.execution_hash.hex()[:8]}"
            )


@lru_cache(maxsize=8)
def _decoded(encoded: bytes | None) -> RunResult | None:
    """Return the result, if it is one. The same few are asked for again, and some are long."""
    with suppress(MalformedMessage):
        return None if encoded is None else decode_result(encoded)
    return None


def _named(result: RunResult) -> str:
    data = f" {result.data}" if result.code is ResultCode.VM_ERROR else ""
    return result.code.name.lower() + data[:60]


def _outcome(ended: Ended) -> str:
    """Return the kind of end, with the reason in the log where the code was refused."""
    result = _decoded(ended.result)
    if result is None:
        return "no result"
    named = _named(result)
    if not named.startswith("vm_error invalid_contract"):
        return re.sub(r"\d+", "N", named)
    reason = re.search(rb"cannot be started: ([^\"\\]*)", ended.log)
    said = reason[1].decode("utf-8", "replace") if reason else ""
    return f"{named}: {' '.join(re.sub(r'[0-9]+', 'N', said).split()[:6])}"

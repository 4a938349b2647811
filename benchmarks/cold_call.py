"""One call of a Python contract from nothing: a new process each time, and where its time goes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from protocol import calldata
from protocol.calldata import Address
from protocol.executor import ExecutionData
from protocol.run_result import ResultCode
from tests.support.node_host import Ended, NodeHost, run_executor

CALLS_A_ROUND = 5
CONTRACT = b"""\
# { "Depends": "py-genlayer:test" }
from genlayer import *


class Counter(gl.Contract):
    count: u256

    def __init__(self):
        self.count = u256(41)

    @gl.public.write
    def more(self) -> int:
        self.count = u256(self.count + 1)
        return self.count
"""
_ME = Address(bytes(19) + b"\1")


@dataclass(frozen=True)
class Call:
    """Milliseconds of one call: the whole process, and the parts it reports itself."""

    whole: float
    inside: float
    module: float
    guest: float


def call(
    host: str, *, code: bytes | None, calldata_value: dict[str, object]
) -> tuple[Ended, float]:
    """One run in a new executor process; also its milliseconds."""
    message = {
        "contract_address": _ME,
        "sender_address": _ME,
        "origin_address": _ME,
        "chain_id": 1,
        "value": 0,
        "is_init": code is not None,
        "datetime": "2026-01-01T00:00:00Z",
    }
    execution = ExecutionData(calldata.encode(calldata_value), message, "", code, None, {})
    began = time.perf_counter()
    ended = run_executor(host, execution, extra_args=["--debug-mode"])
    elapsed = (time.perf_counter() - began) * 1e3
    assert ended.result is not None and ended.result.code is ResultCode.RETURN, ended
    return ended, elapsed


def measured(ended: Ended, whole: float) -> Call:
    reported: dict[str, float] = {}
    for record in ended.log:
        reported |= {key: value for key, value in record.items() if key.endswith("ms")}
    return Call(whole, reported["ms"], reported["module_ms"], reported["guest_ms"])


def interpreter(arguments: Sequence[str]) -> float:
    """Milliseconds of a bare Python process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True)
    return (time.perf_counter() - began) * 1e3


def figures(rounds: int) -> Iterator[Figure]:
    subprocess.run([sys.executable, "-m", "workers.genvm", "check", "--precompile"], check=True)
    whole = Figure("Python contract call, cold", "ms", beside_name="python -c pass")
    parts = {
        "imports": Figure("  start of Python and imports of the executor", "ms"),
        "module": Figure("  mapping the compiled guest", "ms"),
        "guest": Figure("  guest: boot, SDK and contract", "ms"),
        "rest": Figure("  hosts, stdin, result", "ms"),
    }
    importing = Figure("import wasmtime in a bare Python", "ms", beside_name="python -c pass")
    node = NodeHost()
    with (
        tempfile.TemporaryDirectory(prefix="genvm-bench-") as folder,
        node.listen(Path(folder) / "host.sock") as host,
    ):
        deployed, _ = call(host, code=CONTRACT, calldata_value={})
        assert deployed.result is not None
        node.apply(_ME, deployed.result.storage_changes)
        for _ in range(rounds * CALLS_A_ROUND):
            bare = interpreter(["-c", "pass"])
            one = measured(*call(host, code=None, calldata_value={"method": "more"}))
            whole.beside.append(bare)
            whole.rounds.append(one.whole)
            parts["imports"].rounds.append(one.whole - one.inside)
            parts["module"].rounds.append(one.module)
            parts["guest"].rounds.append(one.guest)
            parts["rest"].rounds.append(one.inside - one.module - one.guest)
            importing.beside.append(bare)
            importing.rounds.append(interpreter(["-c", "import wasmtime"]))
    yield from (whole, *parts.values(), importing)

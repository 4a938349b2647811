"""One cold call of a Python contract: a new process each time, and where its time goes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.run_result import ResultCode
from tests.support.node_host import Ended, NodeHost, run_executor

from .figures import Figure, milliseconds

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


def call(
    host: str, *, code: bytes | None, calldata_value: dict[str, object]
) -> tuple[Ended, float]:
    """Run once in a new executor process; return the result and its milliseconds."""
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


def reported(ended: Ended) -> dict[str, float]:
    """Return the milliseconds of the parts that the executor logs."""
    times: dict[str, float] = {}
    for record in ended.log:
        times |= {key: value for key, value in record.items() if key.endswith("ms")}
    return times


def split_up(bare: float, elapsed: float, times: dict[str, float]) -> tuple[float, ...]:
    """Return the milliseconds of each part of a call, in the order of the figures."""
    inside = times["module_ms"] + times["boot_ms"] + times["contract_ms"]
    return (
        bare,
        elapsed - times["ms"] - bare,
        times["module_ms"],
        times["boot_ms"],
        times["contract_ms"],
        times["ms"] - inside,
    )


def interpreter(arguments: Sequence[str]) -> float:
    """Return the milliseconds of a bare Python process."""
    return milliseconds(lambda: subprocess.run([sys.executable, *arguments], check=True))


def figures(rounds: int) -> Iterator[Figure]:
    """Measure cold calls and their parts."""
    subprocess.run(
        [sys.executable, "-m", "genvm_manager.workers.genvm", "check", "--precompile"], check=True
    )
    whole = Figure("Python contract call, cold", "ms", beside_name="python -c pass")
    parts = [
        Figure("  interpreter", "ms", note="as python -c pass"),
        Figure("  imports of the executor", "ms"),
        Figure("  mapping the compiled guest", "ms"),
        Figure("  guest: boot of CPython", "ms"),
        Figure("  guest: SDK and contract", "ms"),
        Figure("  hosts, stdin, result", "ms"),
    ]
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
            ended, elapsed = call(host, code=None, calldata_value={"method": "more"})
            whole.beside.append(bare)
            whole.rounds.append(elapsed)
            for part, spent in zip(parts, split_up(bare, elapsed, reported(ended)), strict=True):
                part.rounds.append(spent)
            importing.beside.append(bare)
            importing.rounds.append(interpreter(["-c", "import wasmtime"]))
    yield from (whole, *parts, importing)

"""What the executor does when it is told to stop, in each of its phases.

Source: docs/spec/04-executor.md#stopping.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.host.messages import ConsumeResult, StorageRead
from genvm_manager.protocol.run_result import decode_result
from tests.support.calls import MESSAGE, Chain
from tests.support.module_server import ModuleServer, Silence
from tests.support.node_host import BUILT_IN, Ended, NodeHost, run_executor
from tests.support.nondet import CALL, HOST_DATA, blocks
from tests.support.signals import caught
from tests.support.waiting import wait_until
from tests.support.wasm import slow_to_compile
from tests.support.wat import Contract, returned, returns

SOON = 8.0
"""Seconds within which an executor that was told to stop is gone, on a busy machine too. It needs
a quarter of a second."""

LOOP = "(loop (br 0))"
PRINT = (
    "(i32.store (i32.const 200) (i32.const 0)) (i32.store (i32.const 204) (i32.const 65536))"
    "(loop (drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208)))"
    " (br 0))"
)
PYTHON = """# { "Depends": "py-genlayer:test" }
from genlayer import *
class Loops(gl.Contract):
    def __init__(self):
        print("here")
        %s
"""
ALL_AT_HOST_0 = [0] * 8


class SlowHost(NodeHost):
    """A node that answers no read of storage, and takes no result, before `go` is set."""

    def __init__(self, *, slow: str) -> None:
        super().__init__()
        self.go = threading.Event()
        self.is_asked = threading.Event()
        self._slow = slow

    def storage_read(self, request: StorageRead) -> bytes:
        self._wait("storage_read")
        return super().storage_read(request)

    def consume_result(self, request: ConsumeResult) -> None:
        super().consume_result(request)
        self._wait("consume_result")

    def _wait(self, name: str) -> None:
        if name == self._slow:
            self.is_asked.set()
            assert self.go.wait(60)


@contextmanager
def slow_host(slow: str) -> Iterator[tuple[SlowHost, str]]:
    host = SlowHost(slow=slow)
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        host.listen(Path(folder) / "host") as address,
    ):
        try:
            yield host, address
        finally:
            host.go.set()


def data(code: bytes, **fields: Any) -> ExecutionData:
    message = MESSAGE | {"is_init": True}
    return ExecutionData(calldata.encode({}), message, "", code, None, {}, **fields)


def started() -> psutil.Process | None:
    """Return the executor that this test has started."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if {BUILT_IN[-1], "run"} <= set(child.cmdline()):
                return child
    return None


def executor() -> psutil.Process | None:
    """Return the executor that this test has started, once it listens for SIGTERM."""
    with suppress(OSError):
        if (process := started()) and signal.SIGTERM in caught(process.pid):
            return process
    return None


def stopped(run: Callable[[], Ended], when: Callable[[], object], times: int = 1) -> Ended:
    """Start a run, tell it to stop when `when` says so, and return how it ended."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        process = wait_until(executor)
        wait_until(when)
        began = time.monotonic()
        for _ in range(times):
            process.send_signal(signal.SIGTERM)
        ended = running.result(60)
    assert time.monotonic() - began < SOON
    return ended


def is_timeout(ended: Ended) -> None:
    assert ended.exit_code == 0, ended
    assert ended.result is not None
    assert (ended.result.code.name, ended.result.data) == ("VM_ERROR", "timeout")
    assert ended.result.storage_changes == []
    assert "told to stop" in [r["message"] for r in ended.log if r["level"] == "warning"][-1]


def is_busy() -> bool:
    """Return whether the executor has used half a second of processor time."""
    process = executor()
    return process is not None and process.cpu_times().user > 0.5


@pytest.mark.parametrize("times", [1, 5])
def test_a_guest_that_runs_is_stopped(chain: Chain, times: int) -> None:
    wasm = Contract().wasm(LOOP)
    is_timeout(stopped(lambda: chain.run({}, wasm), is_busy, times))
    assert wait_until(lambda: chain.host.finished) == [True]


@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "try:\n            while True: pass\n        except BaseException: pass",
        "gl.vm.spawn_sandbox(forever)",
        "while True: self.balance",
    ],
)
def test_a_python_contract_is_stopped(chain: Chain, loop: str) -> None:
    source = PYTHON % loop + "\ndef forever():\n    while True: pass\n"
    is_timeout(stopped(lambda: chain.run({}, source.encode()), is_busy))
    assert wait_until(lambda: chain.host.finished) == [True]


def test_guests_inside_each_other_are_stopped(chain: Chain) -> None:
    contract = Contract()
    sandbox = contract.gl_call({"Sandbox": {"allow_write_ops": False, "data": b"x"}})
    wasm = contract.wasm(f"(drop {sandbox}) {LOOP}")
    is_timeout(stopped(lambda: chain.run({}, wasm), is_busy))


def test_a_guest_whose_prints_nobody_reads_is_stopped(chain: Chain) -> None:
    reader, writer = os.pipe()
    command = ("sh", "-c", f'exec "$0" "$@" >/proc/{os.getpid()}/fd/{writer}', *BUILT_IN)
    try:
        run = lambda: chain.run({}, Contract().wasm(PRINT), command=command)  # noqa: E731
        is_timeout(stopped(run, lambda: _is_full(writer)))
    finally:
        os.close(reader)
        os.close(writer)


def _is_full(pipe: int) -> bool:
    return not select.select([], [pipe], [], 0.2)[1]


def test_a_run_that_has_no_data_yet_is_stopped(chain: Chain) -> None:
    """Its stdin stays open."""
    reader, writer = os.pipe()
    command = ("sh", "-c", f'exec "$0" "$@" </proc/{os.getpid()}/fd/{reader}', *BUILT_IN)
    try:
        ended = stopped(lambda: run_executor(chain.address, b"", command=command), executor)
    finally:
        os.close(reader)
        os.close(writer)
    is_timeout(ended)
    assert wait_until(lambda: chain.host.finished) == [True]


def test_compiling_is_stopped(chain: Chain, tmp_path: Path) -> None:
    def compiler() -> bool:
        process = executor()
        return process is not None and bool(process.children())

    slow = slow_to_compile(functions=25)
    options = [f"--cache-dir={tmp_path}"]
    is_timeout(stopped(lambda: chain.run({}, slow, options=options), compiler))
    assert wait_until(lambda: chain.host.finished) == [True]
    assert chain.result({}, returns(1), options=options).data == 1


def test_a_wait_for_a_module_is_stopped(chain: Chain) -> None:
    llm = ModuleServer(lambda _: Silence())
    contract = Contract()
    prompt = {"ExecPrompt": {"prompt": "?", "response_format": "text", "images": []}}
    wasm = blocks(contract, lead=returned(contract.gl_call(prompt)))

    def run() -> Ended:
        how: dict[str, Any] = {"message": {"is_init": False}, "host_data": HOST_DATA}
        return chain.run(CALL, wasm, modules=(llm, llm), **how)

    is_timeout(stopped(run, lambda: llm.requests))
    llm.join()


def answers_late(host: SlowHost) -> Callable[[], bool]:
    """Return whether the host is asked, and have it answer half a second after that."""

    def is_asked() -> bool:
        if host.is_asked.is_set():
            threading.Timer(0.5, host.go.set).start()
        return host.is_asked.is_set()

    return is_asked


def test_a_wait_for_a_host_is_stopped() -> None:
    """The node that is merely slow gets the end behind its own answer."""
    with slow_host("storage_read") as (host, address):
        is_timeout(stopped(lambda: Chain(host, address).run({}), answers_late(host)))
        assert wait_until(lambda: host.finished) == [True]


def test_a_host_that_never_answers_keeps_no_run() -> None:
    with slow_host("storage_read") as (host, address):
        is_timeout(stopped(lambda: Chain(host, address).run({}), host.is_asked.is_set))


def test_a_node_that_takes_the_result_itself_gets_it_behind_its_answer() -> None:
    with slow_host("storage_read") as (host, address):
        run = data(b"", method_hosts=ALL_AT_HOST_0)._replace(code=None)
        ended = stopped(lambda: run_executor(address, run), answers_late(host))
        assert ended.exit_code == 0
        assert wait_until(lambda: host.finished) == [True]
        (result,) = map(decode_result, host.results)
        assert result.data == "timeout"


def test_a_result_that_is_being_handed_over_stays_and_comes_once() -> None:
    with slow_host("consume_result") as (host, address):
        run = data(returns("mine"), method_hosts=ALL_AT_HOST_0)

        def told() -> Ended:
            return run_executor(address, run)

        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(told)
            process = wait_until(executor)
            wait_until(host.is_asked.is_set)
            process.send_signal(signal.SIGTERM)
            host.go.set()
            assert running.result(60).exit_code == 0
        assert wait_until(lambda: host.finished) == [True]
        (result,) = map(decode_result, host.results)
        assert result.data == "mine"


def test_a_stop_at_any_moment_gives_one_result_or_an_end_by_the_signal(chain: Chain) -> None:
    """Before the executor listens, the signal ends it; after that there is always a result."""
    wasm = Contract().wasm(LOOP)
    seen = set()
    for step in range(16):
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(lambda: chain.run({}, wasm))
            process = wait_until(started)
            time.sleep(step * 0.012)
            process.send_signal(signal.SIGTERM)
            ended = running.result(60)
        if ended.exit_code == -signal.SIGTERM:
            assert ended.result is None
        else:
            is_timeout(ended)
        seen.add(ended.exit_code)
    assert seen <= {0, -signal.SIGTERM}
    assert 0 in seen


def test_other_commands_end_by_the_signal() -> None:
    checking = subprocess.Popen(
        [*BUILT_IN, "parse-version-pattern"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    checking.terminate()
    assert checking.wait(60) == -signal.SIGTERM
    assert checking.stdin is not None
    checking.stdin.close()

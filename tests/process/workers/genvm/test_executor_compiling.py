"""Compiling contracts: bounded, apart, and of no influence on a result.

Source: docs/spec/06-contracts.md#the-machine.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.contract.storage_layout import CODE_SLOT, stored_code
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.genvm.engine.compiler import (
    CompilerBounds,
    compile_apart,
)
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from tests.support.calls import MESSAGE, OTHER, Chain, options
from tests.support.node_host import BUILT_IN, Ended, NodeHost, run_executor
from tests.support.waiting import TIMEOUT, wait_until
from tests.support.wasm import body, export, many_locals_and_branches, module, slow_to_compile
from tests.support.wat import Contract, returned, returns

SLOW = slow_to_compile(functions=12)
"""It takes a second or more to compile, and returns at once."""

LIMIT = options(seconds=0.5)


def in_cache(folder: Path) -> list[str]:
    return [f"--cache-dir={folder}"]


def deployment(code: bytes) -> ExecutionData:
    return ExecutionData(calldata.encode({}), MESSAGE | {"is_init": True}, "", code, None, {})


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        pytest.param(
            module([many_locals_and_branches(20_000, 60_000)]),
            "function 0 has 1,121,862 bytes, the limit is 262,144",
            id="locals and branches",
        ),
        pytest.param(
            module([body(b"")] * 1_000_000),
            "the module has 1,000,000 functions, the limit is 65,536",
            id="functions",
        ),
        pytest.param(
            module([body(b"")], exports=[export(f"e{number}") for number in range(40_000)]),
            "the module has 40,000 exports, the limit is 10,000",
            id="exports",
        ),
    ],
)
def test_a_module_that_is_too_much_to_compile_is_refused_in_a_moment(
    chain: Chain, code: bytes, sentence: str
) -> None:
    ended = chain.run({}, code)
    assert ended.result is not None
    assert (ended.result.code, ended.result.data) == (
        ResultCode.VM_ERROR,
        "invalid_contract wasm validating",
    )
    said = [record["message"] for record in ended.log if record["level"] == "error"]
    assert f"the contract cannot be started: {sentence}" in said


def test_as_many_exports_as_there_may_be_cost_a_call_nothing(chain: Chain, tmp_path: Path) -> None:
    names = [export("_start"), *(export(f"e{number}") for number in range(9_999))]
    code = module([body(b"")], exports=names)
    use = in_cache(tmp_path)
    chain.result({}, code, options=use)
    began = time.monotonic()
    assert chain.result({}, code, options=[*use, *options(seconds=5)]).code is ResultCode.RETURN
    assert time.monotonic() - began < 20


def looping(seconds: float) -> bytes:
    """Return a contract that is slow to compile, then takes so much time of its own and returns."""
    contract = Contract()
    call = f"(drop {contract.gl_call({'Return': 'done'})})"
    work = "(loop (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u"
    body_ = f"{work} (local.get $i) (i32.const {round(seconds * 4e8)}))))" + call
    slow = "(func (param i32) " + "(call_indirect (i32.const 0))" * 2_000 + ")"
    return contract.wasm(body_, "(table 1 funcref)" + slow * 10)


def test_a_call_ends_alike_whether_its_contract_was_compiled_before_or_not(
    chain: Chain, tmp_path: Path
) -> None:
    short, endless = looping(0.01), Contract().wasm("(loop (br 0))")
    for code, seconds, expected in ((short, 1.0, "RETURN"), (endless, 0.5, "VM_ERROR")):
        limits = [*in_cache(tmp_path), *options(seconds=seconds)]
        cold = chain.result({}, code, options=limits)
        warm = chain.result({}, code, options=limits)
        assert cold == warm
        assert cold.code.name == expected


def test_what_an_inner_call_has_compiled_is_not_counted_either(
    chain: Chain, tmp_path: Path
) -> None:
    chain.host.apply(OTHER, code_pages(SLOW))
    contract = Contract()
    call = {"CallContract": {"address": OTHER, "calldata": {}, "state": "default"}}
    outer = contract.wasm(returned(contract.gl_call(call)))
    use = [*in_cache(tmp_path), *LIMIT]
    cold = chain.run({}, outer, options=use, extra_args=["--debug-mode"])
    assert cold.result is not None
    assert cold.result.code is ResultCode.RETURN
    assert cold.result == chain.result({}, outer, options=use)
    compiled = [record["module_ms"] for record in cold.log if "module_ms" in record]
    assert max(compiled) > 500


def code_pages(code: bytes) -> list[tuple[bytes, bytes]]:
    """Return what storage holds of a contract with this code."""
    stored = stored_code(code)
    return [
        (CODE_SLOT + (at // 32).to_bytes(4, "big"), stored[at : at + 32].ljust(32, b"\0"))
        for at in range(0, len(stored), 32)
    ]


def test_a_caller_makes_nothing_of_an_inner_call_whose_time_was_up(chain: Chain) -> None:
    chain.host.apply(OTHER, code_pages(Contract().wasm("(loop (br 0))")))
    contract = Contract()
    call = {"CallContract": {"address": OTHER, "calldata": {}, "state": "default"}}
    outer = contract.wasm(
        f"(drop {contract.gl_call(call)}) (drop {contract.gl_call({'Return': 'went on'})})"
    )
    assert chain.outcome(outer, options=options(seconds=0.5)) == ("VM_ERROR", "timeout")


def test_a_slow_compilation_holds_up_nobody_else(chain: Chain, tmp_path: Path) -> None:
    with other_host() as host, executor(host, tmp_path, SLOW) as process:
        wait_until(lambda: compilers(process), within=30)
        compilers(process)[0].suspend()
        assert chain.outcome(returns("quick"), options=in_cache(tmp_path)) == ("RETURN", "quick")
        assert process.poll() is None


def test_who_comes_second_waits_for_the_first_and_compiles_nothing(tmp_path: Path) -> None:
    def deploy(_: int) -> Ended:
        with other_host() as host:
            use = [*in_cache(tmp_path), *LIMIT]
            debug = ["--debug-mode"]
            return run_executor(host, deployment(SLOW), options=use, extra_args=debug)

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(deploy, range(3)))
    assert [each.result and each.result.code for each in ended] == [ResultCode.RETURN] * 3
    assert len(entries(tmp_path)) == 1
    assert not list(tmp_path.glob("contracts/.*"))


@contextmanager
def other_host() -> Iterator[str]:
    """Serve runs on an empty state, one at a time; yield the host's address."""
    host = NodeHost()
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        host.listen(Path(folder) / "host") as address,
    ):
        yield address


@contextmanager
def executor(host: str, folder: Path, code: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """Run an executor that deploys `code`, in a session of its own, and kill it at last."""
    process = subprocess.Popen(
        [*BUILT_IN, *in_cache(folder), "run", f"--host={host}", "--genvm-id=1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(deployment(code).encode())
        process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()


def compilers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        return []


def entries(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.glob("contracts/*")
        if path.suffix != ".stamp" and not path.name.startswith(".")
    ]


def test_a_compiler_ends_with_its_executor(chain: Chain, tmp_path: Path) -> None:
    with executor(chain.address, tmp_path, SLOW) as process:
        wait_until(lambda: compilers(process), within=30)
        (compiler,) = compilers(process)
        assert os.getpgid(compiler.pid) == process.pid
    wait_until(lambda: not compiler.is_running(), within=10)


def _compilers_of_executors() -> list[psutil.Process]:
    """Return the children of the executors that this process has started."""
    started = psutil.Process().children()
    executors = [each for each in started if "genvm_manager.workers.genvm" in _command_line(each)]
    return [child for each in executors for child in each.children()]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_compiler_that_is_killed_gives_an_internal_error(chain: Chain, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(
            run_executor, chain.address, deployment(SLOW), options=in_cache(tmp_path)
        )
        (compiler,) = wait_until(_compilers_of_executors)
        compiler.kill()
        result = ended.result().result
    assert result is not None
    assert result.code is ResultCode.INTERNAL_ERROR
    assert "this host could not compile the module within 4096 MiB" in result.data
    assert "the compiler was ended by SIGKILL" in result.data


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (CompilerBounds(memory=8 << 20), "it was out of memory"),
        (CompilerBounds(seconds=1), "its processor time was up"),
    ],
)
def test_a_host_that_is_too_small_or_slow_says_so(bounds: CompilerBounds, why: str) -> None:
    # In a process of its own: this one may have a compiler's threads, which no fork has.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as apart:
        compiling = apart.submit(compile_apart, slow_to_compile(functions=200), bounds, bytes)
        with pytest.raises(
            ExecutorFault, match=rf"could not compile the module within .*: {why}; "
        ):
            compiling.result(TIMEOUT)


def test_the_cache_is_whole_after_a_kill_at_any_time(chain: Chain, tmp_path: Path) -> None:
    code = slow_to_compile(functions=2)
    began = time.monotonic()
    assert chain.result({}, code, options=in_cache(tmp_path / "measured")).data is None
    whole = time.monotonic() - began
    for step in range(8):
        with (
            other_host() as host,
            executor(host, tmp_path, code) as process,
            suppress(subprocess.TimeoutExpired),
        ):
            process.wait(whole * (step + 1) / 7)
    assert chain.result({}, code, options=in_cache(tmp_path)).data is None
    assert chain.result({}, returns(1), options=in_cache(tmp_path)).data == 1
    left = sorted(path.name for path in (tmp_path / "contracts").iterdir())
    assert len(left) == 4, left
    assert not any(name.startswith(".") for name in left)

"""Contracts, hosts and callers that misbehave: every run ends, and says how.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

import socket
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import wasmtime

from genvm_manager.protocol import calldata
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.host.messages import MAX_BLOB
from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.genvm.engine.guest import MAX_TABLE_ELEMENTS
from tests.support.calls import MESSAGE, Chain, options
from tests.support.node_host import BUILT_IN, run_executor
from tests.support.waiting import TIMEOUT
from tests.support.wat import SCRATCH, Contract, returns

MIB = 1 << 20

GROW_FOR_EVER = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("unreachable", "wasm_trap unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "wasm_trap integer_division_by_zero"),
        ("(i32.store (i32.const -4) (i32.const 1))", "wasm_trap memory_out_of_bounds"),
        ("(call $exit (i32.const 7))", "exit_code 7"),
        (GROW_FOR_EVER, "OOM memory"),
    ],
)
def test_end_of_a_contract(chain: Chain, body: str, error: str) -> None:
    wasm = Contract().wasm(body)
    assert chain.outcome(wasm, options=options(memory=64 * MIB)) == ("VM_ERROR", error)


def test_recursion_traps(chain: Chain) -> None:
    wasm = Contract().wasm("(call $deeper)", "(func $deeper (call $deeper) (call $deeper))")
    assert chain.outcome(wasm) == ("VM_ERROR", "wasm_trap stack_overflow")


def test_endless_loop_ends_in_time(chain: Chain) -> None:
    wasm = Contract().wasm("(loop (br 0))")
    assert chain.outcome(wasm, options=options(seconds=0.5)) == ("VM_ERROR", "timeout")


def test_endless_loop_of_host_calls_ends_in_time(chain: Chain) -> None:
    call = f"(drop (call $random (i32.const {SCRATCH}) (i32.const 8)))"
    wasm = Contract().wasm(f"(loop {call} (br 0))")
    assert chain.outcome(wasm, options=options(seconds=0.5)) == ("VM_ERROR", "timeout")


def test_more_memory_than_the_limit_from_the_start_is_out_of_memory(chain: Chain) -> None:
    wasm = Contract(pages=2048).wasm("nop")
    assert chain.outcome(wasm, options=options(memory=64 * MIB)) == ("VM_ERROR", "OOM memory")


def test_more_table_than_there_may_be_is_out_of_memory(chain: Chain) -> None:
    for table in (f"(table {MAX_TABLE_ELEMENTS + 1} funcref)", "(table 1 funcref)" * 9):
        assert chain.outcome(Contract().wasm("nop", table)) == ("VM_ERROR", "OOM table")


def test_messages_without_end_are_out_of_memory(chain: Chain) -> None:
    contract = Contract()
    event = contract.gl_call({"EmitEvent": {"topics": [], "blob": {"a": bytes(8000)}}})
    assert chain.outcome(contract.wasm(f"(loop (drop {event}) (br 0))")) == (
        "VM_ERROR",
        "OOM receipt",
    )


def test_storage_written_without_end_is_out_of_memory(chain: Chain) -> None:
    contract = Contract(pages=400)
    write = (
        "(drop (call $storage_write (i32.const 64) (local.get $i) (i32.const 0)"
        " (i32.const 16777216)))"
        "(local.set $i (i32.add (local.get $i) (i32.const 16777216)))"
    )
    assert chain.outcome(contract.wasm(f"(loop {write} (br 0))")) == ("VM_ERROR", "OOM storage")


def test_a_result_that_no_host_takes_is_out_of_memory(chain: Chain) -> None:
    head = calldata.encode({"Return": bytes(MAX_BLOB)})[:-MAX_BLOB]
    contract = Contract(pages=(MAX_BLOB >> 16) + 2)
    at = contract.place(head)
    size = len(head) + MAX_BLOB
    wasm = contract.wasm(
        f"(drop (call $gl_call (i32.const {at}) (i32.const {size}) (i32.const 0)))"
    )
    assert chain.outcome(wasm) == ("VM_ERROR", "OOM memory")


def test_prints_without_measure_pass_through(chain: Chain) -> None:
    size = 100 * MIB
    contract = Contract(pages=32)
    wasm = contract.wasm(
        "(i32.store (i32.const 200) (i32.const 0)) (i32.store (i32.const 204) (i32.const 1048576))"
        "(loop (drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208)))"
        "(local.set $i (i32.add (local.get $i) (i32.const 1)))"
        "(br_if 0 (i32.lt_u (local.get $i) (i32.const 100))))"
    )
    ended = chain.run({}, wasm)
    assert ended.result is not None
    assert ended.result.code is ResultCode.RETURN
    assert len(ended.stdout) == size


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (b"\0asm", "invalid_contract wasm validating"),
        (b"\0asm\1\0\0\0\xff\xff", "invalid_contract wasm validating"),
        (bytes(wasmtime.wat2wasm("(module)")), "invalid_contract wasm entrypoint"),
        (
            bytes(wasmtime.wat2wasm('(module (func (export "_start") (param i32)))')),
            "invalid_contract wasm entrypoint",
        ),
        (
            bytes(wasmtime.wat2wasm('(module (import "env" "f" (func)))')),
            "invalid_contract wasm linking",
        ),
        (
            bytes(
                wasmtime.wat2wasm(
                    '(module (import "genlayer_sdk" "gl_call" (func (param i64)))'
                    ' (func (export "_start")))'
                )
            ),
            "invalid_contract wasm linking",
        ),
        (b"\xff\xfe", "invalid_contract not_utf8_text"),
        (b"print(1)", "invalid_contract absent_runner_comment"),
        (b'# { "Depends": "rust:1" }', "invalid_contract"),
        (b'# { "Link": "file" }', "invalid_contract malformed_runner"),
        (b"PK\x03\x04 nothing more", "invalid_contract"),
        (b'# v1.0.0\n# { "Depends": "py-genlayer:test" }', "version_too_big"),
        (b"\0asm\1\0\0\0\0\x14\x0dgenvm.versionv2.0.0", "version_too_big"),
        (b'# v0.99.0\n# { "Depends": "rust:1" }', "invalid_contract"),
        (b'# vNext\n# { "Depends": "rust:1" }', "invalid_contract"),
    ],
)
def test_code_that_cannot_be_started(chain: Chain, code: bytes, error: str) -> None:
    assert chain.outcome(code) == ("VM_ERROR", error)


def test_address_without_contract(chain: Chain) -> None:
    result = chain.result({})
    assert (result.code, result.data) == (ResultCode.VM_ERROR, "invalid_contract")


@pytest.mark.parametrize("stdin", [b"", b"\xff" * 100, calldata.encode({"calldata": b""})])
def test_execution_data_that_cannot_be_used(chain: Chain, stdin: bytes) -> None:
    ended = run_executor(chain.address, stdin)
    assert ended.exit_code == 0
    assert ended.result is not None
    assert ended.result.code is ResultCode.INTERNAL_ERROR
    assert any(record["level"] == "error" for record in ended.log)


def test_message_without_a_field_is_named(chain: Chain) -> None:
    message = {name: value for name, value in MESSAGE.items() if name != "sender_address"}
    data = ExecutionData(b"", message, "", returns(1), None, {})
    ended = run_executor(chain.address, data)
    assert ended.result is not None
    assert ended.result.data == "message.sender_address: expected Address"


DATA = ExecutionData(b"", MESSAGE, "", None, None, {})


@pytest.mark.parametrize("host", ["unix:///nowhere/host", "tcp://127.0.0.1:1", "nonsense"])
def test_missing_host_ends_the_run(host: str) -> None:
    ended = run_executor(host, DATA)
    assert ended.exit_code == 1
    assert ended.result is None
    assert host in ended.log[-1]["message"]


def test_host_that_dies_ends_the_run() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "host"
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(TIMEOUT)
        # It takes the connection when the executor has come and gone, so its first answer is none.
        with socket.socket(socket.AF_UNIX) as early:
            early.connect(str(path))
            listener.accept()[0].close()
        listener.shutdown(socket.SHUT_RDWR)
        ended = run_executor(f"unix://{path}", DATA)
    assert ended.exit_code == 1


def test_cache_folder_that_others_may_write_is_not_trusted(chain: Chain, tmp_path: Path) -> None:
    folder = tmp_path / "contracts"
    folder.mkdir()
    folder.chmod(0o777)
    ended = chain.run({}, returns(1), options=[f"--cache-dir={tmp_path}"])
    assert ended.result is not None
    assert ended.result.data == 1
    assert list(folder.iterdir()) == []
    (warned,) = [record["message"] for record in ended.log if record["level"] == "warning"]
    assert f"the cache is not used: {folder}: others may use it; chmod 700 it" in warned


def cut(entry: bytes) -> bytes:
    return entry[:-100]


def replaced(_: bytes) -> bytes:
    return b"\x7fELF rubbish"


def altered(entry: bytes) -> bytes:
    """As long as before, and other machine code."""
    return entry.replace(b"\xc3", b"\xcc")


@pytest.mark.parametrize("damage", [cut, replaced, altered])
def test_damaged_cache_entry_is_made_again(
    chain: Chain, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    use = [f"--cache-dir={tmp_path}"]
    assert chain.result({}, returns("x"), options=use).data == "x"
    (entry,) = (path for path in (tmp_path / "contracts").iterdir() if path.stat().st_size > 1000)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    entry.write_bytes(damage(entry.read_bytes()))
    assert chain.result({}, returns("x"), options=use).data == "x"
    assert entry.stat().st_size > 1000


def test_many_at_once_on_an_empty_cache(chain: Chain, tmp_path: Path) -> None:
    wasm = returns("at once")
    call = ExecutionData(calldata.encode({}), MESSAGE | {"is_init": True}, "", wasm, None, {})

    def deploy(_: int) -> object:
        ended = run_executor(chain.address, call, options=[f"--cache-dir={tmp_path}"])
        return ended.result and ended.result.data

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(deploy, range(4))) == ["at once"] * 4


def test_nobody_listening_to_prints_changes_nothing(chain: Chain) -> None:
    contract = Contract()
    wasm = contract.wasm(
        "(i32.store (i32.const 204) (i32.const 9))"
        "(drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208)))"
        f"(drop {contract.gl_call({'Return': 'fine'})})"
    )
    closed = ("sh", "-c", 'exec "$0" "$@" >&-', *BUILT_IN)
    assert chain.result({}, wasm, command=closed).data == "fine"

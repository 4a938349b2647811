"""What the host does for a contract is bounded, in time and in memory.

Source: docs/spec/06-contracts.md#imports.
"""

from __future__ import annotations

import time

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.run_result import ResultCode
from tests.support.calls import OTHER, Chain, options
from tests.support.node_host import BUILT_IN
from tests.support.wat import Contract

MIB = 1 << 20


def io_vectors(count: int, at: int, size: int) -> bytes:
    return (at.to_bytes(4, "little") + size.to_bytes(4, "little")) * count


@pytest.mark.parametrize(
    ("count", "size", "code"),
    [
        (1024, 64 << 20, 28),  # 64 GiB, all of them the same 64 MiB
        (64, 64 << 20, 28),  # 4 GiB, one more than can be told
        (1025, 1, 28),
        (1024, 1 << 10, 0),
    ],
)
def test_a_write_of_more_than_a_size_can_tell_is_refused(
    chain: Chain, count: int, size: int, code: int
) -> None:
    contract = Contract(pages=1025)
    vectors = contract.place(io_vectors(count, 0, size))
    wasm = contract.wasm(
        f"(call $exit (i32.add (i32.const 100) (call $fd_write (i32.const 1)"
        f" (i32.const {vectors}) (i32.const {count}) (i32.const 16))))"
    )
    ended = chain.run({}, wasm)
    assert ended.result is not None
    assert ended.result.data == f"exit_code {100 + code}"
    assert len(ended.stdout) == (0 if code else count * size)


def test_printing_for_ever_into_nothing_is_interrupted(chain: Chain) -> None:
    """4 GiB a call, of which no more than a constant number of bytes is passed on."""
    contract = Contract(pages=1025)
    vectors = contract.place(io_vectors(63, 0, 64 << 20))
    wasm = contract.wasm(
        f"(loop (drop (call $fd_write (i32.const 2) (i32.const {vectors}) (i32.const 63)"
        f" (i32.const 16))) (br 0))"
    )
    quiet = ("sh", "-c", 'exec "$0" "$@" 2>/dev/null', *BUILT_IN)
    assert chain.outcome(wasm, command=quiet, options=options(seconds=1)) == ("VM_ERROR", "timeout")


def asks_again_and_again(request: object, times: int, then: str) -> bytes:
    """Return `request`, of which each answer is then dealt with as `then` says."""
    contract = Contract()
    call = contract.gl_call(request)
    return contract.wasm(
        f"(loop {call} (if (then (call $exit (i32.const 9)))) {then}"
        "(local.set $i (i32.add (local.get $i) (i32.const 1)))"
        f"(br_if 0 (i32.lt_u (local.get $i) (i32.const {times}))))"
    )


@pytest.mark.parametrize(
    ("then", "outcome"),
    [
        ("nop", ("VM_ERROR", "OOM memory")),
        ("(drop (call $fd_close (i32.load (i32.const 0))))", ("RETURN", None)),
    ],
)
def test_answers_that_nobody_reads_are_bounded(
    chain: Chain, then: str, outcome: tuple[str, object]
) -> None:
    chain.host.eth_answers[b""] = bytes(8 * MIB)
    request = {"EthCall": {"address": OTHER, "calldata": b""}}
    assert chain.outcome(asks_again_and_again(request, 40, then)) == outcome


def test_answers_go_with_the_guest_that_got_them(chain: Chain) -> None:
    """Each of 40 calls leaves 3 answers of 8 MiB unread."""
    chain.host.eth_answers[b""] = bytes(8 * MIB)
    request = {"EthCall": {"address": OTHER, "calldata": b""}}
    inner = asks_again_and_again(request, 3, "nop")
    chain.result({}, inner, message={"contract_address": OTHER})
    call = {"CallContract": {"address": OTHER, "calldata": {}}}
    close = "(drop (call $fd_close (i32.load (i32.const 0))))"
    assert chain.outcome(asks_again_and_again(call, 40, close)) == ("RETURN", None)


def test_a_request_of_too_many_values_is_inval(chain: Chain) -> None:
    """63 million empty maps, by a module of 400 bytes."""
    count = 63_000_000
    head = calldata.encode({"Return": []})[:-1]
    number = count << 3 | 5
    head += bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128])
    head += bytes([number >> 21 & 127 | 128, number >> 28])
    contract = Contract(pages=1024)
    at = contract.place(head)
    wasm = contract.wasm(
        f"(memory.fill (i32.const {at + len(head)}) (i32.const 6) (i32.const {count}))"
        f"(call $exit (i32.add (i32.const 100) (call $gl_call (i32.const {at})"
        f" (i32.const {len(head) + count}) (i32.const 0))))"
    )
    began = time.monotonic()
    assert chain.outcome(wasm, options=options(seconds=8)) == ("VM_ERROR", "exit_code 102")
    assert time.monotonic() - began < 20


def test_traces_without_end_end_in_the_log(chain: Chain) -> None:
    wasm = asks_again_and_again({"Trace": {"Message": "x" * 16_000}}, 5000, "nop")
    ended = chain.run({}, wasm)
    assert ended.result is not None
    assert ended.result.code is ResultCode.RETURN
    messages = [record["message"] for record in ended.log]
    assert messages[-1] == "the contract has logged too much: the rest is dropped"
    assert 60 * MIB < sum(map(len, messages)) < 68 * MIB


@pytest.mark.parametrize(
    "description",
    [
        '{"Seq": [' * 300 + '{"Depends": "py-genlayer:test"}' + "]}" * 300,
        r'{"Seq": [{"SetArgs": ["\ud800"]}, {"StartWasm": "file"}]}',
        r'{"Seq": [{"AddEnv": {"name": "A", "val": "\ud800"}}, {"StartWasm": "file"}]}',
        r'{"Seq": [{"AddEnv": {"name": "\ud800", "val": ""}}, {"StartWasm": "file"}]}',
        r'{"Seq": [{"MapFile": {"file": "file", "to": "/\ud800"}}, {"StartWasm": "file"}]}',
        '{"Seq": [' + '{"AddEnv": {"name": "A", "val": "x${A}${A}"}},' * 30 + "{}]}",
    ],
)
def test_a_description_that_asks_for_too_much_is_an_invalid_contract(
    chain: Chain, description: str
) -> None:
    ended = chain.run({}, f"# {description}\n".encode())
    assert (ended.exit_code, ended.stderr) == (0, b"")
    assert ended.result is not None
    told = (ended.result.code, ended.result.data)
    assert told == (ResultCode.VM_ERROR, "invalid_contract malformed_runner")
    assert "the contract cannot be started: " in ended.log[-1]["message"]


def test_reading_60_mib_again_and_again_ends_in_time(chain: Chain) -> None:
    size = 60 * MIB
    contract = Contract(pages=(size >> 16) + 2)
    read = (
        "(drop (call $storage_read (i32.const 64) (i32.const 5) (i32.const 65536)"
        f" (i32.const {size})))"
    )
    wasm = contract.wasm(f"(drop {contract.write(b'mine', 70)}) (loop {read} (br 0))")
    began = time.monotonic()
    assert chain.outcome(wasm, options=options(seconds=3)) == ("VM_ERROR", "timeout")
    assert time.monotonic() - began < 40


def test_writing_the_same_16_mib_again_and_again_ends_in_time(chain: Chain) -> None:
    contract = Contract(pages=258)
    write = (
        "(drop (call $storage_write (i32.const 64) (i32.const 0) (i32.const 65536)"
        " (i32.const 16777216)))"
    )
    began = time.monotonic()
    wasm = contract.wasm(f"(loop {write} (br 0))")
    assert chain.outcome(wasm, options=options(seconds=1)) == ("VM_ERROR", "timeout")
    assert time.monotonic() - began < 20


def test_what_waiting_calls_hold_counts_as_memory_of_the_run(chain: Chain) -> None:
    """Sandboxes inside each other, each with 30 MiB of data, until one is out of memory."""
    size = 30 * MIB
    request = calldata.encode({"Sandbox": {"allow_write_ops": False, "data": bytes(size)}})
    head = request[: request.index(bytes(1000))]
    contract = Contract(pages=(size >> 16) + 2)
    at = contract.place(head)
    wasm = contract.wasm(
        f"(drop (call $gl_call (i32.const {at}) (i32.const {len(request)}) (i32.const 0)))"
        "(i32.store (i32.const 200) (i32.const 1024)) (i32.store (i32.const 204) (i32.const 9))"
        "(drop (call $fd_read (i32.load (i32.const 0)) (i32.const 200) (i32.const 1)"
        " (i32.const 212)))"
        "(i32.store (i32.const 204) (i32.load (i32.const 212)))"
        "(drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208)))"
    )
    ended = chain.run({}, wasm)
    assert ended.result is not None
    assert ended.result.code is ResultCode.RETURN
    # Three hold 270 MiB: the third call's guest ends so, and those around it return null.
    assert ended.stdout == b"\x02OOM memo" + b"\0\0"

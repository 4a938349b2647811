"""Raw WASM contracts in the real executor: what they may ask for, and what they get.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.run_result import ResultCode, execution_hash
from genvm_manager.workers.genvm.calls.context import Message
from tests.support.calls import CONTRACT, MESSAGE, OTHER, SENDER, Chain
from tests.support.wat import RESULT, SCRATCH, SLOT, Contract, exits_with, returns

ROOT = bytes(32)
CODE_SLOT = hashlib.sha3_256(ROOT + (1).to_bytes(4, "little")).digest()
LOCKED_SLOTS = hashlib.sha3_256(ROOT + (2).to_bytes(4, "little")).digest()
UPGRADERS = hashlib.sha3_256(ROOT + (3).to_bytes(4, "little")).digest()


def key(slot: bytes, page: int) -> bytes:
    return slot + page.to_bytes(4, "big")


@pytest.mark.parametrize("value", [-(2**200), [None, b"\x00", {"a": {"b": "text"}}, CONTRACT]])
def test_returned_value_comes_back(chain: Chain, value: Any) -> None:
    assert chain.outcome(returns(value)) == ("RETURN", value)


def test_user_error_carries_its_value_and_drops_all_effects(chain: Chain) -> None:
    contract = Contract()
    wasm = contract.wasm(
        f"(drop {contract.write(b'lost')})"
        f"(drop {contract.gl_call({'EmitEvent': {'topics': [], 'blob': {}}})})"
        f"(drop {contract.gl_call({'UserError': 'no such token'})})"
    )
    result = chain.result({}, wasm)
    assert (result.code, result.data) == (ResultCode.USER_ERROR, "no such token")
    assert (result.storage_changes, result.emissions) == ([], [])


def test_end_without_return_gives_null(chain: Chain) -> None:
    assert chain.outcome(Contract().wasm("nop")) == ("RETURN", None)
    assert chain.outcome(exits_with("(i32.const 0)", Contract())) == ("RETURN", None)


def test_deployment_leaves_the_code_in_its_slot_and_calls_find_it(chain: Chain) -> None:
    wasm = returns("here")
    result = chain.result({}, wasm)
    stored = (len(wasm).to_bytes(4, "little") + wasm).ljust(-(-(len(wasm) + 4) // 32) * 32, b"\0")
    pages = [stored[at : at + 32] for at in range(0, len(stored), 32)]
    assert result.storage_changes == [
        (key(CODE_SLOT, number), page) for number, page in enumerate(pages)
    ]
    assert chain.result({}).data == "here"


def test_writes_leave_as_whole_pages_with_big_endian_numbers(chain: Chain) -> None:
    contract = Contract()
    contract_pages = [b"\0" * 30 + b"ab", b"c" + b"\0" * 31]
    wasm = contract.wasm(f"(drop {contract.write(b'abc', index=32 * 258 + 30)})")
    changes = dict(chain.result({}, wasm).storage_changes)
    assert changes[ROOT + bytes([0, 0, 1, 2])] == contract_pages[0]
    assert changes[ROOT + bytes([0, 0, 1, 3])] == contract_pages[1]


def test_reads_see_the_hosts_pages_under_the_runs_own_writes(chain: Chain) -> None:
    chain.host.pages[CONTRACT][key(ROOT, 0)] = bytes(range(32))
    contract = Contract()
    length = 12
    wasm = contract.wasm(
        f"(drop {contract.write(b'XY', index=3)})"
        f"(call $storage_read (i32.const {SLOT}) (i32.const 1) (i32.const {SCRATCH})"
        f" (i32.const {length})) (drop)" + print_bytes(SCRATCH, length)
    )
    assert chain.run({}, wasm).stdout == b"\x01\x02XY\x05\x06\x07\x08\x09\x0a\x0b\x0c"


def test_host_is_asked_for_a_page_once(chain: Chain) -> None:
    contract = Contract()
    read = (
        f"(drop (call $storage_read (i32.const {SLOT}) (i32.const 0) (i32.const {SCRATCH})"
        " (i32.const 64)))"
    )
    wasm = contract.wasm(read)
    chain.result({}, wasm)
    once = len(chain.host.requests)
    chain.host.requests.clear()
    chain.result({}, Contract().wasm(read * 20))
    assert len(chain.host.requests) == once


def print_bytes(at: int, size: int) -> str:
    """WAT that writes a range of memory to stdout."""
    return (
        f"(i32.store (i32.const 200) (i32.const {at})) (i32.store (i32.const 204)"
        f" (i32.const {size})) (drop (call $fd_write (i32.const 1) (i32.const 200)"
        " (i32.const 1) (i32.const 208)))"
    )


def test_balances(chain: Chain) -> None:
    chain.host.balances[CONTRACT] = 2**255 + 5
    chain.host.balances[SENDER] = 77
    contract = Contract()
    sender = contract.place(bytes(SENDER))
    send = {"EthSend": {"address": OTHER, "calldata": b"", "value": 5}}
    wasm = contract.wasm(
        f"(drop {contract.gl_call(send)})"
        f"(drop (call $get_self_balance (i32.const {SCRATCH})))"
        f"(drop (call $get_balance (i32.const {sender}) (i32.const {SCRATCH + 32})))"
        + print_bytes(SCRATCH, 64)
    )
    printed = chain.run({}, wasm).stdout
    assert int.from_bytes(printed[:32], "little") == 2**255
    assert int.from_bytes(printed[32:], "little") == 77


def test_emissions_leave_in_order(chain: Chain) -> None:
    chain.host.balances[CONTRACT] = 100
    requests = [
        {"EmitEvent": {"topics": [b"t" * 32], "blob": {"amount": 3}}},
        {
            "PostMessage": {
                "address": OTHER,
                "calldata": {"method": "m"},
                "value": 60,
                "on": "accepted",
            }
        },
        {
            "DeployContract": {
                "calldata": {},
                "code": b"code",
                "value": 0,
                "on": "finalized",
                "salt_nonce": 9,
            }
        },
        {"EthSend": {"address": OTHER, "calldata": b"\x01", "value": 40}},
    ]
    contract = Contract()
    wasm = contract.wasm("".join(f"(drop {contract.gl_call(request)})" for request in requests))
    emissions = chain.result({}, wasm).emissions
    assert [emission.pop("type") for emission in emissions] == [
        "EmitEvent",
        "PostMessage",
        "DeployContract",
        "EthSend",
    ]
    assert emissions[0] == {"topics": [b"t" * 32], "blob": {"amount": 3}}
    assert (emissions[1]["value"], emissions[1]["on"]) == (60, "accepted")
    assert (emissions[2]["code"], emissions[2]["salt_nonce"]) == (b"code", 9)
    assert emissions[3] == {"address": OTHER, "calldata": b"\x01", "value": 40}


EVENT: dict[str, Any] = {"EmitEvent": {"topics": [], "blob": {}}}
POST = {"PostMessage": {"address": OTHER, "calldata": {}, "value": 0, "on": "finalized"}}
VALUE = {"PostMessage": {"address": OTHER, "calldata": {}, "value": 1, "on": "finalized"}}


NONDET = {"RunNondet": {"data_leader": b"", "data_validator": b""}}

REFUSED: list[tuple[str, Any, int]] = [
    ("rwscn", VALUE, 7),
    ("rwscn", {"EthCall": {"address": OTHER, "calldata": b"unknown"}}, 5),
    ("rwscn", {"WebRender": {"url": "http://localhost", "mode": "text"}}, 6),
    ("rwscn", {"WebRequest": {"url": "http://localhost"}}, 6),
    ("rwscn", {"ExecPrompt": {"prompt": "x"}}, 6),
    ("rwscn", {"ExecPromptTemplate": {}}, 6),
    ("rwscn", {"RunNondet": {"data_leader": b""}}, 2),
    ("rwscn", {"EmitEvent": {"topics": [b"short"], "blob": {}}}, 2),
    ("rwscn", {"EmitEvent": {"topics": [b"t" * 32] * 5, "blob": {}}}, 2),
    ("rwscn", {"EmitEvent": {"topics": []}}, 2),
    ("rwscn", {"PostMessage": {"address": b"x", "calldata": {}, "value": 0}}, 2),
    ("rwscn", {"PostMessage": {"address": OTHER, "calldata": {}, "value": -1}}, 2),
    ("rwscn", {"PostMessage": {"address": OTHER, "calldata": {}, "value": 2**256}}, 2),
    ("rwscn", {"PostMessage": {"address": OTHER, "calldata": {}, "on": "never"}}, 2),
    ("rwscn", {"CallContract": {"address": OTHER, "calldata": {}, "state": []}}, 2),
    ("rwscn", {"Sandbox": {"data": 1}}, 2),
    ("rwscn", {"Trace": 1}, 2),
    ("rwscn", {"Unknown": 1}, 2),
    ("rwscn", {"Return": 1, "UserError": 2}, 2),
    ("rwscn", {}, 2),
    ("rwscn", "Return", 2),
    ("", EVENT, 6),
    ("", POST, 6),
    ("", {"EthCall": {"address": OTHER, "calldata": b""}}, 6),
    ("", {"CallContract": {"address": OTHER, "calldata": {}, "state": "default"}}, 6),
    ("", NONDET, 6),
]


def prints_codes(contract: Contract, calls: list[str]) -> bytes:
    """Return a contract that makes all calls and prints what each left, one byte per call."""
    kept = (f"(i32.store8 (i32.const {SCRATCH + n}) {call})" for n, call in enumerate(calls))
    return contract.wasm("".join(kept) + print_bytes(SCRATCH, len(calls)))


@pytest.mark.parametrize("permissions", ["rwscn", ""])
def test_refused_requests(chain: Chain, permissions: str) -> None:
    cases = [(value, code) for needed, value, code in REFUSED if needed == permissions]
    contract = Contract()
    wasm = prints_codes(contract, [contract.gl_call(value) for value, _ in cases])
    printed = chain.run({}, wasm, permissions=permissions).stdout
    assert list(zip((value for value, _ in cases), printed, strict=True)) == cases


def test_bytes_that_are_no_calldata_are_inval(chain: Chain) -> None:
    contract = Contract()
    requests = [b"", b"\xff" * 20, b"\x0e\x06Return", b"\x0f", b"\x0d" * 200 + b"\x00"]
    wasm = prints_codes(contract, [contract.gl_call_bytes(request) for request in requests])
    assert chain.run({}, wasm).stdout == bytes([2] * len(requests))


POINTERS = [
    ("(call $storage_read (i32.const 64) (i32.const 0) (i32.const 131070) (i32.const 9))", 3),
    ("(call $storage_read (i32.const -8) (i32.const 0) (i32.const 0) (i32.const 9))", 3),
    ("(call $storage_read (i32.const 64) (i32.const 0) (i32.const 0) (i32.const -1))", 3),
    ("(call $storage_read (i32.const 64) (i32.const -8) (i32.const 0) (i32.const 32))", 1),
    ("(call $storage_write (i32.const 64) (i32.const -8) (i32.const 0) (i32.const 32))", 1),
    ("(call $storage_write (i32.const 64) (i32.const 0) (i32.const -1) (i32.const 32))", 3),
    ("(call $get_balance (i32.const -1) (i32.const 0))", 3),
    ("(call $get_balance (i32.const 0) (i32.const -1))", 3),
    ("(call $get_self_balance (i32.const 131050))", 3),
    ("(call $gl_call (i32.const 131070) (i32.const 10) (i32.const 0))", 3),
    ("(call $gl_call (i32.const 0) (i32.const -1) (i32.const 0))", 3),
    ("(call $gl_call (i32.const 0) (i32.const 1) (i32.const -1))", 3),
    ("(call $fd_write (i32.const 1) (i32.const -1) (i32.const 1) (i32.const 0))", 21),
    ("(call $fd_write (i32.const 9) (i32.const 0) (i32.const 1) (i32.const 0))", 8),
    ("(call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0))", 28),
    ("(call $random (i32.const 131070) (i32.const 10))", 21),
    ("(call $random (i32.const 0) (i32.const -1))", 28),
]


def test_pointers_out_of_bounds_are_errors(chain: Chain) -> None:
    wasm = prints_codes(Contract(), [call for call, _ in POINTERS])
    printed = chain.run({}, wasm).stdout
    assert [(call, code) for (call, _), code in zip(POINTERS, printed, strict=True)] == POINTERS


@pytest.mark.parametrize(
    ("permissions", "call"),
    [
        ("wscn", "(call $storage_read (i32.const 64) (i32.const 0) (i32.const 0) (i32.const 1))"),
        ("rscn", "(call $storage_write (i32.const 64) (i32.const 0) (i32.const 0) (i32.const 1))"),
    ],
)
def test_storage_needs_its_permission(chain: Chain, permissions: str, call: str) -> None:
    wasm = exits_with(call, Contract())
    assert chain.outcome(wasm, permissions=permissions) == ("VM_ERROR", "exit_code 6")


def test_locked_slots_are_for_upgraders(chain: Chain) -> None:
    contract = Contract()
    chain.result({}, exits_with(contract.write(b"new"), contract))
    state = chain.host.pages[CONTRACT]
    state[key(LOCKED_SLOTS, 0)] = (1).to_bytes(4, "little") + bytes(28)
    state[key(LOCKED_SLOTS, 1)] = bytes(32)
    assert chain.result({}).data == "exit_code 6"
    state[key(UPGRADERS, 0)] = (1).to_bytes(4, "little") + bytes(SENDER) + bytes(8)
    assert chain.result({}).code is ResultCode.RETURN


def test_result_descriptor_holds_what_the_host_answered(chain: Chain) -> None:
    chain.host.eth_answers[b"ask"] = b"answer of the chain"
    contract = Contract()
    call = contract.gl_call({"EthCall": {"address": OTHER, "calldata": b"ask"}})
    wasm = contract.wasm(
        f"(drop {call}) (i32.store (i32.const 200) (i32.const {SCRATCH}))"
        "(i32.store (i32.const 204) (i32.const 100))"
        f"(drop (call $fd_read (i32.load (i32.const {RESULT})) (i32.const 200) (i32.const 1)"
        " (i32.const 208)))" + print_bytes(SCRATCH, 19)
    )
    assert chain.run({}, wasm).stdout == b"answer of the chain"


def call_and_print(contract: Contract, request: Any) -> bytes:
    """Return a contract that makes one call and prints what it gives."""
    return contract.wasm(
        f"(drop {contract.gl_call(request)}) (i32.store (i32.const 200) (i32.const {SCRATCH}))"
        "(i32.store (i32.const 204) (i32.const 1000))"
        f"(drop (call $fd_read (i32.load (i32.const {RESULT})) (i32.const 200) (i32.const 1)"
        " (i32.const 212)))"
        f"(i32.store (i32.const 204) (i32.load (i32.const 212)))"
        "(drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208)))"
    )


def install(chain: Chain, address: Address, code: bytes) -> None:
    """Put code into a contract's storage, as a deployment does that the host accepted."""
    stored = len(code).to_bytes(4, "little") + code
    for number in range(-(-len(stored) // 32)):
        page = stored[number * 32 : number * 32 + 32].ljust(32, b"\0")
        chain.host.pages[address][key(CODE_SLOT, number)] = page


CALL_OTHER = {"CallContract": {"address": OTHER, "calldata": {}, "state": "default"}}


def test_calls_to_other_contracts(chain: Chain) -> None:
    install(chain, OTHER, returns(5))
    ended = chain.run({}, call_and_print(Contract(), CALL_OTHER))
    assert ended.stdout == b"\x00" + bytes([5 << 3 | 1])


@pytest.mark.parametrize(
    ("called", "error"),
    [
        (Contract().wasm("unreachable"), "wasm_trap unreachable"),
        (b"# nothing\n", "invalid_contract absent_runner_comment"),
        (b"", "invalid_contract"),
    ],
)
def test_a_vm_error_of_a_called_contract_ends_the_caller(
    chain: Chain, called: bytes, error: str
) -> None:
    install(chain, OTHER, called)
    assert chain.outcome(call_and_print(Contract(), CALL_OTHER)) == ("VM_ERROR", error)


def test_called_contract_may_not_write(chain: Chain) -> None:
    contract = Contract()
    install(chain, OTHER, exits_with(contract.write(b"x"), contract))
    ended = chain.outcome(call_and_print(Contract(), CALL_OTHER))
    assert ended == ("VM_ERROR", "exit_code 6")


def test_calls_into_each_other_end_at_the_depth_limit(chain: Chain) -> None:
    request = {"CallContract": {"address": CONTRACT, "calldata": {}, "state": "default"}}
    wasm = call_and_print(Contract(pages=1), request)
    install(chain, CONTRACT, wasm)
    ended = chain.run({})
    assert ended.result is not None
    assert (ended.result.code, ended.result.data) == (ResultCode.VM_ERROR, "depth_limit")
    assert ended.stdout == b""


def sandboxed(allow_write_ops: bool, ending: str) -> bytes:
    """Return a contract that writes storage inside a sandbox, which ends by `ending`.

    It prints, from outside, what the sandbox gave, then what storage holds.
    """
    contract = Contract()
    value = 1 if ending == "Return" else "no"
    # Both start messages are alike but for `is_init` and `entry_kind`, which is 1 in the sandbox.
    entry = calldata.encode({})
    start = Message(**MESSAGE | {"is_init": True})._asdict() | {"entry_data": entry}
    start |= {"entry_kind": 1, "entry_stage_data": None, "stack": []}
    kind_at = calldata.encode(start).index(b"entry_kind\x09") + len("entry_kind")
    sandbox = {"Sandbox": {"data": entry, "allow_write_ops": allow_write_ops}}
    read_start = (
        f"(i32.store (i32.const 200) (i32.const {SCRATCH})) (i32.store (i32.const 204)"
        " (i32.const 1000)) (drop (call $fd_read (i32.const 0) (i32.const 200) (i32.const 1)"
        " (i32.const 212)))"
    )
    inside = f"(drop {contract.write(b'done')}) (drop {contract.gl_call({ending: value})})"
    outside = (
        f"(drop {contract.gl_call(sandbox)})"
        f"(drop (call $fd_read (i32.load (i32.const {RESULT})) (i32.const 200) (i32.const 1)"
        " (i32.const 212)))"
        f"(drop (call $storage_read (i32.const {SLOT}) (i32.const 0) (i32.const {SCRATCH + 2})"
        " (i32.const 4)))" + print_bytes(SCRATCH, 6)
    )
    kind = f"(i32.eq (i32.load8_u (i32.const {SCRATCH + kind_at})) (i32.const 9))"
    return contract.wasm(f"{read_start} (if {kind} (then {inside}) (else {outside}))")


@pytest.mark.parametrize(
    ("allow_write_ops", "ending", "printed"),
    [
        (True, "Return", b"\x00\x09done"),
        (True, "UserError", b"\x01n\0\0\0\0"),
        (True, "Rollback", b"\x01n\0\0\0\0"),
        (False, "Return", b"\x00\x09\0\0\0\0"),
    ],
)
def test_sandbox_keeps_writes_that_are_allowed_and_returned(
    chain: Chain, allow_write_ops: bool, ending: str, printed: bytes
) -> None:
    assert chain.run({}, sandboxed(allow_write_ops, ending)).stdout == printed


@pytest.mark.parametrize("environment", [None, {}, {"TZ": "Asia/Tokyo", "LANG": "tr_TR.UTF-8"}])
def test_outcome_is_the_same_in_any_environment(
    chain: Chain, environment: dict[str, str] | None, tmp_path: Any
) -> None:
    contract = Contract()
    wasm = contract.wasm(
        f"(drop (call $random (i32.const {SCRATCH}) (i32.const 24)))"
        f"(drop (call $clock (i32.const 0) (i64.const 0) (i32.const {SCRATCH + 24})))"
        f"(drop (call $storage_write (i32.const {SLOT}) (i32.const 0) (i32.const {SCRATCH})"
        " (i32.const 32)))"
    )
    if environment is not None:
        environment["GENVM_CACHE_DIR"] = str(tmp_path / "cache")
        environment["PYTHONPATH"] = ":".join(sys.path)
    result = chain.result({}, wasm, environment=environment)
    page = dict(result.storage_changes)[key(ROOT, 0)]
    assert int.from_bytes(page[24:], "little") == 1_770_091_506 * 10**9
    assert page[:24].hex() == "016152a8c13410d1a51c1d5f8958e3fac15777d851d34c6b"
    assert result.execution_hash == execution_hash(
        result.code, result.data, result.storage_changes, result.emissions
    )


def test_other_message_gives_other_random_bytes(chain: Chain) -> None:
    contract = Contract()
    wasm = contract.wasm(
        f"(drop (call $random (i32.const {SCRATCH}) (i32.const 32)))" + print_bytes(SCRATCH, 32)
    )
    first = chain.run({}, wasm).stdout
    second = chain.run({}, wasm, message={"sender_address": Address(b"\x0b" * 20)}).stdout
    assert first != second

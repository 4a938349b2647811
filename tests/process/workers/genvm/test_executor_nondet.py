"""Nondet blocks of raw WASM contracts: leader, validator, replay, and what is allowed.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import Any

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.run_result import ResultCode
from tests.support.calls import CONTRACT, MESSAGE, OTHER, Chain
from tests.support.module_server import ModuleServer, prompts
from tests.support.nondet import BLOCK, HOST_DATA, blocks, gives, lead, result, returned, run
from tests.support.wat import SCRATCH, SLOT, Contract, printed
from tests.support.wat import returned as returns_answer

PROMPT = {"ExecPrompt": {"prompt": "What is the sum?", "response_format": "text", "images": []}}


def asking(contract: Contract, request: Any = PROMPT) -> str:
    """Return a stage that returns what a module answers."""
    return returns_answer(contract.gl_call(request))


def test_leader_runs_its_stage_and_records_what_it_gives(chain: Chain) -> None:
    llm, web = prompts(lambda _: "five"), prompts(lambda _: "unasked")
    contract = Contract()
    ended = lead(chain, blocks(contract, lead=asking(contract)), llm, web)
    assert ended.stdout == returned({"ok": "five"})
    assert result(ended).code is ResultCode.RETURN
    assert result(ended).nondet_results == [ended.stdout]
    assert result(ended).nondet_disagreement is None
    assert (web.hellos, web.requests) == ([], [])


def test_module_is_told_who_asks_and_asked_as_the_protocol_says(chain: Chain) -> None:
    def answer(_: Any) -> Any:
        return {"data": "five", "consumed_gen": 2**63 + 1}

    llm = ModuleServer(answer)
    chain.host.fuel = 2**64 - 1
    contract = Contract()
    lead(chain, blocks(contract, lead=asking(contract), count=2), llm)
    assert llm.hellos == [
        (1, {"node_address": "0xabc", "tx_id": "0xdef", "studio_llm_id": "β", "share": "0.5"})
    ]
    asked = {"payload": PROMPT["ExecPrompt"], "remaining_fuel_as_gen": 2**64 - 1}
    assert llm.requests == [("Prompt", asked)] * 2
    assert chain.host.consumed == [2**63 + 1] * 2


def test_validator_that_agrees_asks_no_module_that_it_does_not_need(chain: Chain) -> None:
    llm = prompts(lambda _: "unasked")
    contract = Contract()
    wasm = blocks(contract, lead=asking(contract), validate=gives(contract, "Return", True))
    theirs = returned({"ok": "five"})
    ended = run(chain, wasm, [theirs], llm)
    assert ended.stdout == theirs
    assert result(ended).nondet_results == []
    assert result(ended).nondet_disagreement is None
    assert (llm.hellos, chain.host.disagreements) == ([], [])


@pytest.mark.parametrize(
    ("ending", "value"),
    [
        ("Return", False),
        ("Return", 1),
        ("Return", None),
        ("Return", "true"),
        ("Return", [True]),
        ("UserError", True),
    ],
)
def test_anything_but_true_disagrees(chain: Chain, ending: str, value: Any) -> None:
    contract = Contract()
    wasm = blocks(contract, lead="unreachable", validate=gives(contract, ending, value))
    disagrees(chain, wasm)


@pytest.mark.parametrize("body", ["nop", "unreachable", "(call $exit (i32.const 1))"])
def test_a_validator_that_fails_disagrees(chain: Chain, body: str) -> None:
    disagrees(chain, blocks(Contract(), lead="unreachable", validate=body))


def disagrees(chain: Chain, wasm: bytes) -> None:
    theirs = returned("theirs")
    ended = run(chain, wasm, [theirs])
    assert ended.stdout == theirs
    assert result(ended).code is ResultCode.RETURN
    assert result(ended).nondet_disagreement == 0
    assert chain.host.disagreements == [0]


def test_validators_are_given_the_leaders_result(chain: Chain) -> None:
    """The stage data is at a known place behind the entry data, so the validator's answer can be
    a byte of it: that of calldata's `true`, which the leader returned."""
    contract = Contract()
    start = calldata.encode({"leaders_result": returned(True)})
    message = calldata.encode(
        {name: value for name, value in MESSAGE.items() if name < "entry"}
        | {"entry_data": b"V", "entry_kind": 2, "entry_stage_data": None}
    )
    answer_at = SCRATCH + len(message) - 1 + len(start) - 1
    prefix = calldata.encode({"Return": None})
    at = contract.place(prefix)
    validate = (
        f"(i32.store8 (i32.const {at + len(prefix) - 1}) (i32.load8_u (i32.const {answer_at})))"
        f"(drop (call $gl_call (i32.const {at}) (i32.const {len(prefix)}) (i32.const 0)))"
    )
    wasm = blocks(contract, lead="unreachable", validate=validate)
    assert result(run(chain, wasm, [returned(True)])).nondet_disagreement is None
    assert result(run(chain, wasm, [returned(False)])).nondet_disagreement == 0


def test_the_first_disagreement_is_told_and_nothing_is_judged_after_it(chain: Chain) -> None:
    contract = Contract()
    judge = prints(SLOT, 1) + gives(contract, "Return", False)
    wasm = blocks(contract, lead="nop", validate=judge, count=3)
    ended = run(chain, wasm, [returned(number) for number in range(3)])
    assert ended.stdout == b"\0" + b"".join(returned(number) for number in range(3))
    assert result(ended).nondet_disagreement == 0
    assert chain.host.disagreements == [0]


@pytest.mark.parametrize("theirs", [returned(7), b"\1no", b"\1Duplicate"])
def test_replay_takes_the_results_as_they_are(chain: Chain, theirs: bytes) -> None:
    wasm = blocks(Contract(), lead="unreachable", validate="unreachable", count=2)
    ended = run(chain, wasm, [theirs, returned(2)], is_sync=True)
    assert ended.stdout == theirs + returned(2)
    assert result(ended).nondet_disagreement is None
    assert result(ended).nondet_results == []


@pytest.mark.parametrize("text", ["", "no", "a text of more than sixteen bytes"])
def test_a_user_error_may_be_given_as_calldata(chain: Chain, text: str) -> None:
    """So executors of ours wrote it once."""
    contract = Contract()
    wasm = blocks(contract, lead="unreachable", validate=gives(contract, "Return", True))
    ended = run(chain, wasm, [b"\1" + calldata.encode(text)])
    assert ended.stdout == b"\1" + text.encode()


@pytest.mark.parametrize(("verdict", "disagreement"), [(True, None), (False, 0)])
def test_a_vm_error_of_the_leader_ends_the_run_after_the_verdict(
    chain: Chain, verdict: bool, disagreement: int | None
) -> None:
    contract = Contract()
    wasm = blocks(contract, lead="nop", validate=gives(contract, "Return", verdict), count=2)
    ended = run(chain, wasm, [b"\2OOM", returned(1)])
    assert (result(ended).code, result(ended).data) == (ResultCode.VM_ERROR, "OOM")
    assert result(ended).nondet_disagreement == disagreement
    replayed = run(chain, wasm, [b"\2OOM", returned(1)], is_sync=True)
    assert result(replayed).execution_hash == result(ended).execution_hash


@pytest.mark.parametrize("results", [None, [returned(1)], [returned(1), b"\3lost"]])
def test_replay_without_a_result_is_an_internal_error(
    chain: Chain, results: list[bytes] | None
) -> None:
    ended = run(chain, blocks(Contract(), lead="nop", count=2), results, is_sync=True)
    assert result(ended).code is ResultCode.INTERNAL_ERROR
    number = 0 if results is None else 1
    assert f"leader_nondet_results: nondet block {number} " in result(ended).data


ABSENT = "absent_leader_nondet_output"


@pytest.mark.parametrize(
    ("results", "error"),
    [
        ([], ABSENT),
        ([b""], f"{ABSENT} malformed"),
        ([b"\0"], f"{ABSENT} malformed"),
        ([b"\1\xff"], f"{ABSENT} malformed"),
        ([b"\2\xff"], f"{ABSENT} malformed"),
        ([b"\3lost"], f"{ABSENT} malformed"),
    ],
)
def test_a_validator_without_a_leaders_result_ends(
    chain: Chain, results: list[bytes], error: str
) -> None:
    ended = run(chain, blocks(Contract(), lead="nop", validate="nop"), results)
    assert (result(ended).code, result(ended).data) == (ResultCode.VM_ERROR, error)


def test_results_beyond_the_last_block_mean_nothing(chain: Chain) -> None:
    contract = Contract()
    wasm = blocks(contract, lead="nop", validate=gives(contract, "Return", True))
    ended = run(chain, wasm, [returned(1), returned(2)])
    assert (ended.stdout, result(ended).nondet_disagreement) == (returned(1), None)


@pytest.mark.parametrize(
    ("ending", "code"),
    [("(call $exit (i32.const 7))", ResultCode.VM_ERROR), ("", ResultCode.USER_ERROR)],
)
def test_results_leave_with_an_error_too(chain: Chain, ending: str, code: ResultCode) -> None:
    """Validators have to come to the same error."""
    contract = Contract()
    ending = ending or gives(contract, "UserError", "too late")
    wasm = blocks(contract, lead=gives(contract, "Return", 5), ending=ending)
    ended = lead(chain, wasm)
    assert result(ended).code is code
    assert result(ended).nondet_results == [returned(5)]
    theirs = run(chain, wasm, [returned(5)])
    assert result(theirs).code is code
    assert result(theirs).nondet_disagreement == 0
    assert result(theirs).execution_hash == result(ended).execution_hash


@pytest.mark.parametrize(
    ("ending", "given"),
    [
        ("unreachable", b"\2wasm_trap unreachable"),
        ("(call $exit (i32.const 3))", b"\2exit_code 3"),
    ],
)
def test_a_leaders_failure_is_a_result_and_ends_the_run(
    chain: Chain, ending: str, given: bytes
) -> None:
    ended = lead(chain, blocks(Contract(), lead=ending, count=2))
    assert ended.stdout == b""
    assert result(ended).nondet_results == [given]
    assert (result(ended).code, result(ended).data) == (ResultCode.VM_ERROR, given[1:].decode())


EVENT: dict[str, Any] = {"EmitEvent": {"topics": [], "blob": {}}}
POST = {"PostMessage": {"address": OTHER, "calldata": {}, "value": 0, "on": "finalized"}}
DEPLOY = {"DeployContract": {"calldata": {}, "code": b"x"}}
SEND = {"EthSend": {"address": OTHER, "calldata": b"", "value": 0}}
CALL_OTHER = {"CallContract": {"address": OTHER, "calldata": {}, "state": "default"}}
ETH = {"EthCall": {"address": OTHER, "calldata": b""}}
DET_ONLY = [EVENT, POST, DEPLOY, SEND, CALL_OTHER, ETH, BLOCK]
MALFORMED = [
    {"ExecPrompt": {}},
    {"ExecPrompt": {"prompt": 5}},
    {"ExecPrompt": {"prompt": "x", "response_format": "yaml"}},
    {"ExecPrompt": {"prompt": "x", "images": ["text"]}},
    {"ExecPrompt": {"prompt": "x", "images": [b"", b"", b""]}},
    {"ExecPrompt": "x"},
    {"ExecPromptTemplate": {"template": "EqOther"}},
    {"ExecPromptTemplate": {"template": "EqComparative", "leader_answer": "x"}},
    {"WebRequest": {"method": "GET"}},
    {"WebRequest": {"method": "TRACE", "url": "x"}},
    {"WebRequest": {"method": "GET", "url": "x", "headers": {"a": "text"}}},
    {"WebRequest": {"method": "GET", "url": "x", "body": "text"}},
    {"WebRequest": {"method": "GET", "url": "x", "sign": 1}},
    {"WebRender": {"url": "x", "mode": "pdf"}},
    {"WebRender": {"url": "x", "wait_after_loaded": 5}},
    {"WebRender": {"url": "x", "wait_after_loaded": "soon"}},
]


def test_what_a_block_may_not_do(chain: Chain) -> None:
    contract = Contract()
    cases = [(request, 6) for request in DET_ONLY] + [(request, 2) for request in MALFORMED]
    calls = [contract.gl_call(request) for request, _ in cases] + [contract.write(b"x")]
    codes = "".join(
        f"(i32.store8 (i32.const {SCRATCH + index}) {call})" for index, call in enumerate(calls)
    )
    at, size = contract.place(b""), len(calls)
    reads = (
        f"(i32.store8 (i32.const {SCRATCH + size}) (call $storage_read (i32.const {SLOT})"
        f" (i32.const 0) (i32.const {at}) (i32.const 8)))"
        f"(i32.store8 (i32.const {SCRATCH + size + 1}) (call $get_self_balance (i32.const {at})))"
    )
    llm = prompts(lambda _: "unasked")
    ended = lead(chain, blocks(contract, lead=codes + reads + prints(SCRATCH, size + 2)), llm)
    expected = bytes([*(code for _, code in cases), 6, 0, 6])
    assert ended.stdout == expected + returned(None)
    assert llm.requests == []


def prints(at: int, size: int) -> str:
    return (
        f"(i32.store (i32.const 200) (i32.const {at})) (i32.store (i32.const 204)"
        f" (i32.const {size})) (drop (call $fd_write (i32.const 1) (i32.const 200)"
        " (i32.const 1) (i32.const 208)))"
    )


def test_a_block_sees_what_the_call_wrote(chain: Chain) -> None:
    contract = Contract()
    read = f"(call $storage_read (i32.const {SLOT}) (i32.const 0) (i32.const {SCRATCH})"
    shown = f"(drop {read} (i32.const 4)))" + prints(SCRATCH, 4)
    wasm = blocks(contract, lead=shown)
    chain.host.pages[CONTRACT][bytes(36)] = b"kept".ljust(32, b"\0")
    assert lead(chain, wasm).stdout == b"kept" + returned(None)


def test_blocks_need_their_permission(chain: Chain) -> None:
    ended = lead(chain, blocks(Contract(), lead="nop"), permissions="rwsc")
    assert result(ended).data == "exit_code 6"


def test_a_sandbox_in_a_block_may_ask_as_well(chain: Chain) -> None:
    llm = prompts(lambda _: "yes")
    contract = Contract()
    sandbox = contract.gl_call({"Sandbox": {"data": b"S", "allow_write_ops": True}})
    wasm = blocks(contract, lead=printed(sandbox), S=asking(contract))
    ended = lead(chain, wasm, llm)
    assert ended.stdout == returned({"ok": "yes"}) + returned(None)


def test_clock_and_random_bytes_are_the_machines_in_a_block_only(chain: Chain) -> None:
    contract = Contract()
    shown = (
        f"(drop (call $clock (i32.const 0) (i64.const 0) (i32.const {SCRATCH})))"
        f"(drop (call $clock (i32.const 1) (i64.const 0) (i32.const {SCRATCH + 8})))"
        f"(drop (call $random (i32.const {SCRATCH + 16}) (i32.const 16)))" + prints(SCRATCH, 32)
    )
    wasm = blocks(contract, lead=shown)
    before = time.time_ns()
    first, second = lead(chain, wasm).stdout, lead(chain, wasm).stdout
    assert before <= int.from_bytes(first[:8], "little") <= time.time_ns()
    assert 0 < int.from_bytes(first[8:16], "little") <= time.monotonic_ns()
    assert first[16:32] != second[16:32]


def test_a_runner_may_start_another_module_in_blocks(chain: Chain) -> None:
    contract = Contract()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        choices = [
            {"When": {"cond": mode, "action": {"StartWasm": f"{mode}.wasm"}}}
            for mode in ("nondet", "det")
        ]
        archive.writestr("runner.json", json.dumps({"Seq": choices}))
        archive.writestr("det.wasm", contract.wasm(printed(contract.gl_call(BLOCK))))
        archive.writestr("nondet.wasm", contract.wasm(gives(contract, "Return", "other")))
    assert lead(chain, packed.getvalue()).stdout == returned("other")


def test_run_time_is_known_in_a_block_only(chain: Chain) -> None:
    contract = Contract()
    clock = contract.gl_call({"Trace": "RuntimeMicroSec"})
    ended = lead(chain, blocks(contract, lead=returns_answer(clock)))
    micros = calldata.decode(ended.stdout[1:])
    assert 0 < micros < 60_000_000


@pytest.mark.parametrize("host_data", ["[]", "no JSON", '{"a": "\\ud800"}', "[" * 100_000])
def test_host_data_that_modules_cannot_be_told(chain: Chain, host_data: str) -> None:
    contract = Contract()
    wasm = blocks(contract, lead=asking(contract))
    ended = lead(chain, wasm, prompts(lambda _: "unasked"), host_data=host_data)
    assert result(ended).code is ResultCode.INTERNAL_ERROR
    assert result(ended).data.startswith("host_data: ")


@pytest.mark.parametrize("module", ["llm", "web"])
def test_a_run_without_a_module_says_how_to_start_that_one(chain: Chain, module: str) -> None:
    contract = Contract()
    page = contract.gl_call({"WebRequest": {"method": "GET", "url": "https://example.com/"}})
    asked = asking(contract) if module == "llm" else returns_answer(page)
    ended = lead(chain, blocks(contract, lead=asked), host_data=HOST_DATA)
    assert result(ended).code is ResultCode.INTERNAL_ERROR
    assert result(ended).data == (
        f"the run was started without the {module} module: start it "
        f"(genvm-manager module start {module}) and run the contract again"
    )

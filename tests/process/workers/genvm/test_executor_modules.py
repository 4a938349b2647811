"""What modules answer, and how they fail, as a raw WASM contract sees it.

Source: docs/spec/05-modules.md#connections.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.framing import MAX_FRAME, frame
from genvm_manager.protocol.module_frames import FatalFault, UserFault
from genvm_manager.protocol.run_result import ResultCode
from tests.support.calls import Chain, options
from tests.support.module_server import ModuleServer, Raw, prompts
from tests.support.nondet import blocks, lead, result, returned
from tests.support.wat import Contract, printed
from tests.support.wat import returned as returns_answer

MIB = 1 << 20


def asked(chain: Chain, request: Any, llm: ModuleServer, web: ModuleServer, **how: Any) -> Any:
    """Return what a block gets for one request: `ok` or `error`."""
    contract = Contract()
    wasm = blocks(contract, lead=returns_answer(contract.gl_call(request)))
    ended = lead(chain, wasm, llm, web, **how)
    assert result(ended).code is ResultCode.RETURN, ended
    assert ended.stdout[:1] == b"\0"
    return calldata.decode(ended.stdout[1:])


def asked_llm(chain: Chain, name: str, payload: Any, data: Any) -> Any:
    """Return what a block gets when the LLM module answers with `data`; check the module's end."""
    llm, web = ModuleServer(lambda _: {"data": data, "consumed_gen": 0}), prompts(str)
    answer = asked(chain, {name: payload}, llm, web)
    assert [request.name for request in llm.requests] == [name.removeprefix("Exec")]
    (request,) = llm.requests
    assert request.payload == {"payload": payload, "remaining_fuel_as_gen": 0}
    return answer


@pytest.mark.parametrize(
    ("response_format", "data"),
    [("text", "naïve 🙂 \0\n" + "長" * 500), ("json", {"": {"deep": [1, None, "ü"]}})],
)
def test_prompts(chain: Chain, response_format: str, data: Any) -> None:
    images = [b"\x89PNG" + bytes(1000), b"\xff\xd8\xff"]
    payload = {"prompt": "¿Qué?\0", "response_format": response_format, "images": images}
    assert asked_llm(chain, "ExecPrompt", payload, data) == {"ok": data}


@pytest.mark.parametrize(
    ("template", "names", "data"),
    [
        ("EqComparative", ("leader_answer", "validator_answer", "principle"), True),
        ("EqNonComparativeValidator", ("task", "criteria", "input", "output"), False),
        ("EqNonComparativeLeader", ("task", "criteria", "input"), "an answer"),
    ],
)
def test_prompt_templates(
    chain: Chain, template: str, names: tuple[str, ...], data: bool | str
) -> None:
    payload = {"template": template} | {name: f"the {name}" for name in names}
    assert asked_llm(chain, "ExecPromptTemplate", payload, data) == {"ok": data}


def test_a_request_goes_to_the_web_module_with_a_limit(chain: Chain) -> None:
    response = {"response": {"status": 404, "headers": {"Set-Cookie": b"\xff"}, "body": b"\0" * 9}}
    llm, web = prompts(str), ModuleServer(lambda _: response)
    request = {
        "method": "POST",
        "url": "https://example.org/ü",
        "headers": {"X": b"\x01"},
        "body": b"\xff",
        "sign": True,
    }
    assert asked(chain, {"WebRequest": request}, llm, web) == {"ok": response}
    (sent,) = web.requests
    assert sent == ("Request", [request, MAX_FRAME - MIB])
    assert llm.hellos == []


def test_a_request_has_defaults_and_a_response_may_have_no_body(chain: Chain) -> None:
    response = {"response": {"status": 200, "headers": {}, "body": None}}
    llm, web = prompts(str), ModuleServer(lambda _: response)
    question = {"WebRequest": {"url": "x", "body": None}}
    assert asked(chain, question, llm, web) == {"ok": response}
    plain: dict[str, Any] = {"method": "GET", "url": "x", "headers": {}}
    plain |= {"body": None, "sign": False}
    assert web.requests[0].payload[0] == plain


def test_limit_of_a_page_is_the_memory_that_is_left(chain: Chain) -> None:
    llm, web = prompts(str), ModuleServer(lambda _: {"text": "page"})
    memory = 4 * MIB
    asked(chain, {"WebRender": {"url": "x"}}, llm, web, options=options(memory=memory))
    contracts = 2 * (128 << 10)  # that of the call and that of its block
    assert web.requests[0].payload[1] == memory - contracts


@pytest.mark.parametrize(
    ("mode", "answer"),
    [("text", {"text": "Ünder"}), ("html", {"text": "<p>"}), ("screenshot", {"image": b"\x89"})],
)
def test_pages(chain: Chain, mode: str, answer: Any) -> None:
    llm, web = prompts(str), ModuleServer(lambda _: answer)
    request = {"mode": mode, "url": "https://example.org", "wait_after_loaded": "2s"}
    assert asked(chain, {"WebRender": request}, llm, web) == {"ok": answer}
    assert web.requests[0].payload[0] == request


RENDER = {"WebRender": {"url": "x", "mode": "text"}}
PROMPT = {"ExecPrompt": {"prompt": "x"}}


def fails(fault: Exception) -> Callable[[Any], Any]:
    def answer(_: Any) -> Any:
        raise fault

    return answer


@pytest.mark.parametrize("request_", [PROMPT, RENDER])
def test_user_errors_come_back_as_values(chain: Chain, request_: Any) -> None:
    module = ModuleServer(fails(UserFault(["TIMEOUT", "of what"], {"url": "x", "after": 3})))
    error = {"causes": ["TIMEOUT", "of what"], "ctx": {"url": "x", "after": 3}}
    assert asked(chain, request_, module, module) == {"error": error}


OK = calldata.encode({"Ok": {"data": "x", "consumed_gen": 0}})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fails(FatalFault("out of paper")), "module failed: out of paper"),
        (lambda _: Raw(b""), "module is gone"),
        (lambda _: Raw(frame(OK)[:-1]), "module is gone"),
        (lambda _: Raw(b"\xff\xff\xff\xff"), "module is gone: a frame of 4294967295 bytes"),
        (lambda _: Raw(frame(b"")), "answer is malformed"),
        (lambda _: Raw(frame(b"\xff" * 9)), "answer is malformed"),
        (lambda _: Raw(frame(calldata.encode([OK]))), "answer is malformed"),
        (lambda _: Raw(frame(calldata.encode({"Ok": 1, "FatalError": ""}))), "malformed"),
        (lambda _: Raw(frame(calldata.encode({"UserError": "text"}))), "answer is malformed"),
        (lambda _: "text", "expected data, a str, and consumed_gen, an int"),
        (lambda _: {"data": {}, "consumed_gen": 0}, "expected data, a str"),
        (lambda _: {"data": "x", "consumed_gen": -1}, "expected data, a str"),
        (lambda _: {"data": "x", "consumed_gen": 2**64}, "expected data, a str"),
        (lambda _: {"data": "x"}, "expected data, a str"),
    ],
)
def test_a_module_that_fails_ends_the_run(chain: Chain, answer: Any, reason: str) -> None:
    ended = lead(chain, asking(PROMPT), ModuleServer(answer))
    assert result(ended).code is ResultCode.INTERNAL_ERROR
    assert result(ended).data.startswith("the llm module")
    assert reason in result(ended).data
    assert ended.log[-1]["level"] == "error"
    assert reason in ended.log[-1]["message"]


def asking(request: Any) -> bytes:
    contract = Contract()
    return blocks(contract, lead=printed(contract.gl_call(request)))


@pytest.mark.parametrize(
    "answer", [{"image": b"x"}, {"text": b"x"}, "text", {"response": {"status": 200}}]
)
@pytest.mark.parametrize("request_", [RENDER, {"WebRequest": {"url": "x"}}])
def test_an_answer_of_another_form_ends_the_run(chain: Chain, request_: Any, answer: Any) -> None:
    ended = lead(chain, asking(request_), ModuleServer(lambda _: answer))
    assert result(ended).code is ResultCode.INTERNAL_ERROR
    assert result(ended).data.startswith("the web module's answer is malformed: expected ")


def test_what_was_recorded_before_a_module_failed_is_kept(chain: Chain) -> None:
    answers = [{"data": "first", "consumed_gen": 0}, Raw(b"")]
    contract = Contract()
    wasm = blocks(contract, lead=returns_answer(contract.gl_call(PROMPT)), count=2)
    ended = lead(chain, wasm, ModuleServer(lambda _: answers.pop(0)))
    assert result(ended).code is ResultCode.INTERNAL_ERROR
    assert result(ended).nondet_results == [returned({"ok": "first"})]


def test_many_prompts_in_a_row_use_one_connection(chain: Chain) -> None:
    count = 50
    llm = prompts(lambda text: text * 2)
    contract = Contract()
    calls = (
        printed(contract.gl_call({"ExecPrompt": {"prompt": f"{number:02}"}}))
        for number in range(count)
    )
    ended = lead(chain, blocks(contract, lead="".join(calls)), llm)
    answers = b"".join(calldata.encode({"ok": f"{number:02}" * 2}) for number in range(count))
    assert ended.stdout == answers + returned(None)
    assert (len(llm.hellos), len(llm.requests)) == (1, count)


def test_a_huge_answer(chain: Chain) -> None:
    text = "é" * (16 * MIB)
    contract = Contract(pages=600)
    wasm = blocks(contract, lead=printed(contract.gl_call(PROMPT)))
    ended = lead(chain, wasm, prompts(lambda _: text))
    assert ended.stdout == calldata.encode({"ok": text}) + returned(None)


SECONDS = 2.0
"""What a contract has; enough for one that computes nothing, also on a busy machine."""


def test_the_time_a_module_takes_is_not_the_contracts(chain: Chain) -> None:
    contract = Contract()
    count_up = (  # Only in a loop a guest notices that it is out of time.
        "(local.set $i (i32.const 0)) (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))"
        " (br_if 0 (i32.lt_u (local.get $i) (i32.const 1000))))"
    )
    stage = printed(contract.gl_call(PROMPT)) + count_up
    patient = blocks(contract, lead=stage, count=2)
    ended = lead(chain, patient, ModuleServer(slowly), options=options(seconds=SECONDS))
    assert result(ended).nondet_results == [returned(None)] * 2
    assert result(ended).code is ResultCode.RETURN
    endless = blocks(contract, lead=stage, ending="(loop (br 0))")
    ended = lead(chain, endless, ModuleServer(slowly), options=options(seconds=SECONDS))
    assert (result(ended).code, result(ended).data) == (ResultCode.VM_ERROR, "timeout")


def slowly(_: Any) -> Any:
    """Return an answer that takes longer than a contract has."""
    time.sleep(1.2 * SECONDS)
    return {"data": "at last", "consumed_gen": 0}

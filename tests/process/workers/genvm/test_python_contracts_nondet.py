"""`gl.nondet`, `gl.vm` and `gl.eq_principle` in Python contracts, as leader and as validator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genvm_manager.protocol.module_frames import ModuleRequest, UserFault
from tests.support.module_server import ModuleServer, prompts
from tests.support.python_contracts import Agreement, Chain, Contract, running_chain

SOURCE = """
import json
import typing
from datetime import datetime, timezone
from genlayer import *

@allow_storage
class Note:
    text: str

class Mine(gl.vm.UserError):
    pass

class Prompter(gl.Contract):
    count: u32
    answer: str
    note: Note
    names: TreeMap[str, u32]

    def __init__(self):
        self.count = 7
        self.note.text = "of the contract"
        self.names["x"] = 3

    @gl.public.write
    def strict(self, prompt: str, kind: str) -> typing.Any:
        def ask():
            return gl.nondet.exec_prompt(prompt, response_format=kind)
        return gl.eq_principle.strict_eq(ask)

    @gl.public.write
    def older(self, prompt: str) -> typing.Any:
        return gl.eq_principle_strict_eq(lambda: gl.exec_prompt(prompt))

    @gl.public.write
    def comparative(self, prompt: str) -> typing.Any:
        return gl.eq_principle.prompt_comparative(
            lambda: gl.nondet.exec_prompt(prompt), principle="the same number"
        )

    @gl.public.write
    def non_comparative(self, text: str) -> typing.Any:
        return gl.eq_principle.prompt_non_comparative(
            lambda: text, task="sum it up", criteria="it is short"
        )

    @gl.public.write
    def unsafe(self, how: str) -> typing.Any:
        def lead():
            return self.count * 2
        def validate(leaders):
            print("leaders", leaders)
            match how:
                case "agree": return isinstance(leaders, gl.vm.Return) and leaders.calldata == 14
                case "disagree": return False
                case "one": return 1
                case "fail": raise ValueError("no")
                case "refuse": raise gl.vm.UserError("no")
        return gl.vm.run_nondet_unsafe(lead, validate)

    @gl.public.write
    def failing(self, how: str, validator_how: str) -> typing.Any:
        def fail(how):
            match how:
                case "user": raise gl.vm.UserError("same")
                case "mine": raise Mine("same")
                case "other": raise gl.vm.UserError("other")
                case "number": raise gl.vm.UserError(5)
                case "error": raise KeyError("same")
                case "exit": exit(4)
                case "module": return gl.nondet.exec_prompt("fail")
                case _: return how
        def validate(leaders):
            return fail(validator_how) == getattr(leaders, "calldata", None)
        try:
            return gl.vm.run_nondet(lambda: fail(how), validate)
        except gl.vm.UserError as error:
            return {"user": error.message}

    @gl.public.write
    def caught(self) -> typing.Any:
        def ask():
            try:
                return gl.nondet.exec_prompt("fail")
            except gl.nondet.NondetException as error:
                return [*error.args, isinstance(error, gl.vm.UserError)]
        return gl.eq_principle.strict_eq(ask)

    @gl.public.write
    def uncaught(self) -> typing.Any:
        return gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("fail"))

    @gl.public.write
    def outside(self) -> typing.Any:
        return gl.nondet.exec_prompt("outside a block")

    @gl.public.write
    def inside(self, what: str) -> typing.Any:
        def act():
            match what:
                case "write": self.count = 1
                case "emit": gl.get_contract_at(self.address).emit().inside("x")
                case "nest": gl.eq_principle.strict_eq(lambda: 1)
                case "call": gl.get_contract_at(self.address).view().get()
                case "read": return [self.count, self.names, self.note.text, self.names["x"]]
                case "sandbox":
                    return gl.vm.spawn_sandbox(lambda: gl.nondet.exec_prompt("two")).calldata
                case "now": return datetime.now(timezone.utc).isoformat()
        self.count += 1
        return gl.eq_principle.strict_eq(act)

    @gl.public.write
    def images(self) -> typing.Any:
        def ask():
            shot = gl.nondet.web.render("https://example.org", mode="screenshot")
            try:
                shot.pil
            except ImportError as error:
                print(error, shot == gl.nondet.Image(shot.raw, "of the contract's own"))
            return gl.nondet.exec_prompt("see", images=[b"raw", shot])
        return gl.eq_principle.strict_eq(ask)

    @gl.public.write
    def lazily(self) -> typing.Any:
        block = gl.eq_principle.strict_eq.lazy(lambda: [
            each.get() for each in [gl.nondet.exec_prompt.lazy(str(n)) for n in range(3)]
        ])
        return block.get()

    @gl.public.write
    def pages(self) -> typing.Any:
        def look():
            web = gl.nondet.web
            answers = [
                web.get("https://a.org"), web.post("https://a.org", body="ü", headers={"X": "y"}),
                web.request("https://a.org", method="PUT", body=b"\\xff"),
                web.head("https://a.org"), web.delete("https://a.org"), web.patch("https://a.org"),
            ]
            shown = [
                web.render("https://a.org"), gl.get_webpage("https://a.org", mode="html"),
                web.render("https://a.org", mode="text", wait_after_loaded="1s"),
            ]
            return [[[a.status, a.headers, a.body] for a in answers], shown]
        return gl.eq_principle.strict_eq(look)

    @gl.public.write
    def many(self, count: int) -> typing.Any:
        def ask():
            return [gl.nondet.exec_prompt(str(n)) for n in range(count)]
        return gl.eq_principle.strict_eq(ask)

    @gl.public.write
    def too_long(self) -> typing.Any:
        def ask():
            try:
                gl.nondet.exec_prompt("x" * ((64 << 20) - 80))
            except SystemError as error:
                return str(error)
        return gl.eq_principle.strict_eq(ask)

    @gl.public.view
    def get(self) -> int:
        return self.count
"""


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


@pytest.fixture(scope="module")
def prompter(chain: Chain) -> Contract:
    return chain.deploy(SOURCE)


@pytest.fixture
def calling(prompter: Contract) -> Callable[..., Agreement]:
    return lambda method, *args: Agreement(prompter, method, *args)


@pytest.mark.parametrize(("kind", "answer"), [("text", "ünf 🙂"), ("json", {"a": [1, True]})])
def test_strict_eq_accepts_the_very_same(
    calling: Callable[..., Agreement], kind: str, answer: Any
) -> None:
    call = calling("strict", "How many? 🙂", kind)
    llm = prompts(lambda _: answer)
    led = call.lead(llm)
    assert led.returned() == answer
    assert llm.requests[0].payload["payload"] == {
        "prompt": "How many? 🙂", "response_format": kind, "images": [],
    }  # fmt: skip
    assert call.validate(led, prompts(lambda _: answer)) is None
    assert call.validate(led, prompts(lambda _: type(answer)())) == 0


def test_the_older_names(calling: Callable[..., Agreement]) -> None:
    call = calling("older", "x")
    led = call.lead(prompts(lambda _: "1"))
    assert led.returned() == "1"
    assert call.validate(led, prompts(lambda _: "1")) is None
    assert call.validate(led, prompts(lambda _: "2")) == 0


def judge(accepts: bool, answer: str = "five") -> ModuleServer:
    """Return an LLM that answers prompts, and says of the answers of others that it `accepts`."""

    def answered(request: ModuleRequest) -> Any:
        template = request.payload["payload"].get("template", "")
        is_judged = template in ("EqComparative", "EqNonComparativeValidator")
        return {"data": accepts if is_judged else answer, "consumed_gen": 0}

    return ModuleServer(answered)


def test_comparative_asks_a_model_whether_two_answers_are_equal(
    calling: Callable[..., Agreement],
) -> None:
    call = calling("comparative", "2 + 3?")
    led = call.lead(judge(True, "5"))
    assert led.returned() == "5"
    llm = judge(True, "five")
    assert call.validate(led, llm) is None
    assert llm.requests[-1] == (
        "PromptTemplate",
        {
            "payload": {
                "template": "EqComparative",
                "leader_answer": "5",
                "validator_answer": "five",
                "principle": "the same number",
            },
            "remaining_fuel_as_gen": 0,
        },
    )
    assert call.validate(led, judge(False)) == 0


def test_non_comparative_asks_a_model_to_judge_the_leaders_answer(
    calling: Callable[..., Agreement],
) -> None:
    call = calling("non_comparative", "a long text")
    llm = judge(True, "short")
    led = call.lead(llm)
    assert led.returned() == "short"
    given = {"task": "sum it up", "criteria": "it is short", "input": "a long text"}
    leading = {"template": "EqNonComparativeLeader"} | given
    assert [request.payload["payload"] for request in llm.requests] == [leading]
    llm = judge(True)
    assert call.validate(led, llm) is None
    judging = {"template": "EqNonComparativeValidator", "output": "short"} | given
    assert [request.payload["payload"] for request in llm.requests] == [judging]
    assert call.validate(led, judge(False)) == 0


@pytest.mark.parametrize(
    ("how", "disagreement"),
    [("agree", None), ("disagree", 0), ("one", 0), ("fail", 0), ("refuse", 0)],
)
def test_a_contracts_own_validator(
    calling: Callable[..., Agreement], how: str, disagreement: int | None
) -> None:
    call = calling("unsafe", how)
    led = call.lead()
    assert led.returned() == 14
    assert call.validate(led) == disagreement


@pytest.mark.parametrize(
    ("how", "given"),
    [
        ("user", {"user": "same"}),
        ("mine", {"user": "same"}),
        ("error", "exit_code 1"),
        ("number", "exit_code 1"),
        ("exit", "exit_code 4"),
        ("module", "exit_code 1"),
        ("fine", "fine"),
    ],
)
def test_a_validator_agrees_with_a_failure_that_it_sees_as_well(
    calling: Callable[..., Agreement], how: str, given: Any
) -> None:
    agreeing = calling("failing", how, how)
    led = agreeing.lead(failing())
    assert led.result.data == given
    assert agreeing.validate(led, failing()) is None
    assert calling("failing", how, "other").validate(led) == 0


CAUSES, CONTEXT = ["NO_PROVIDER_FOR_PROMPT", "more"], {"attempts": [429]}
FAULT = {"causes": CAUSES, "ctx": CONTEXT}


def failing() -> ModuleServer:
    def answer(_: ModuleRequest) -> Any:
        raise UserFault(CAUSES, CONTEXT)

    return ModuleServer(answer)


def test_a_contract_may_catch_what_a_module_could_not_do(
    calling: Callable[..., Agreement],
) -> None:
    led = calling("caught").lead(failing())
    assert led.returned() == [FAULT, False]


def test_an_error_of_a_module_that_nobody_catches_is_an_exception(
    calling: Callable[..., Agreement],
) -> None:
    call = calling("uncaught")
    led = call.lead(failing())
    assert led.vm_error() == "exit_code 1"
    assert "NO_PROVIDER_FOR_PROMPT" in led.stderr
    assert led.result.nondet_results == [b"\2exit_code 1"]
    assert call.validate(led, failing()) is None
    assert call.validate(led, prompts(lambda _: "an answer")) == 0


def test_modules_are_for_blocks(calling: Callable[..., Agreement]) -> None:
    led = calling("outside").lead()
    assert led.vm_error() == "exit_code 1"
    assert "ExecPrompt: models and the web are for nondet blocks only" in led.stderr


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("write", "6: forbidden"),
        ("emit", "PostMessage: views send nothing and have no nondet blocks"),
        ("nest", "RunNondet: views send nothing and have no nondet blocks"),
        ("call", "CallContract: views send nothing and have no nondet blocks"),
    ],
)
def test_what_a_block_may_not_do(calling: Callable[..., Agreement], what: str, reason: str) -> None:
    led = calling("inside", what).lead()
    assert led.vm_error() == "exit_code 1"
    assert reason in led.stderr


def test_what_a_block_may_do(calling: Callable[..., Agreement], prompter: Contract) -> None:
    count = prompter.call("get")
    shown = [count + 1, {"x": 3}, "of the contract", 3]
    assert calling("inside", "read").lead().returned() == shown
    assert calling("inside", "sandbox").lead(prompts(lambda text: text * 2)).returned() == "twotwo"
    assert calling("inside", "now").lead().returned() > "2026-01-02T03:05"


def test_images_go_along_with_a_prompt(calling: Callable[..., Agreement]) -> None:
    llm = prompts(lambda _: "seen")
    web = ModuleServer(lambda _: {"image": b"\x89PNG"})
    led = calling("images").lead(llm, web)
    assert led.returned() == "seen"
    assert led.ended.stdout == b"pil needs Pillow, which is not in the machine: use raw True\n"
    assert llm.requests[0].payload["payload"]["images"] == [b"raw", b"\x89PNG"]
    (rendering,) = web.requests
    assert rendering.payload[0]["mode"] == "screenshot"


def test_lazy_calls(calling: Callable[..., Agreement]) -> None:
    assert calling("lazily").lead(prompts(lambda text: text + "!")).returned() == ["0!", "1!", "2!"]


def test_the_web(calling: Callable[..., Agreement]) -> None:
    def answer(request: ModuleRequest) -> Any:
        (asked, _) = request.payload
        if request.name == "Render":
            return {"text": f"{asked['mode']} after {asked['wait_after_loaded']}"}
        body = json.dumps([asked["method"], list(asked["headers"])]).encode()
        response = {"status": 201, "headers": asked["headers"], "body": asked["body"] or body}
        return {"response": response}

    web = ModuleServer(answer)
    answers, shown = calling("pages").lead(prompts(str), web).returned()

    def plain(method: str) -> list[Any]:
        return [201, {}, json.dumps([method, []]).encode()]

    assert answers == [
        plain("GET"), [201, {"X": b"y"}, "ü".encode()], [201, {}, b"\xff"],
        plain("HEAD"), plain("DELETE"), plain("PATCH"),
    ]  # fmt: skip
    assert shown == ["text after 0ms", "html after 0ms", "text after 1s"]


def test_many_prompts(calling: Callable[..., Agreement]) -> None:
    call = calling("many", 50)
    led = call.lead(prompts(lambda text: text))
    assert led.returned() == [str(number) for number in range(50)]
    assert call.validate(led, prompts(lambda text: text)) is None


def test_a_prompt_that_fits_no_frame_is_an_error(calling: Callable[..., Agreement]) -> None:
    assert calling("too_long").lead(prompts(str)).returned() == "1: overflow"

"""The LLM module in the whole service: from a contract's prompt to a provider and back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from genvm_manager.base.errors import RequestFailed
from genvm_manager.protocol.ipc.runs import Cause
from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.llm.transport import MAX_BODY
from tests.support.nondet import blocks, returned
from tests.support.provider_formats import FORMATS
from tests.support.providers import (
    Cut,
    Fail,
    Flood,
    Hang,
    PlayedProvider,
    Raw,
    Reply,
    Say,
    module_config,
    provider,
)
from tests.support.served_node import LLM, NO_BROWSER, WEB, ServedContract, ServedNode, served_node
from tests.support.waiting import TIMEOUT, wait_until
from tests.support.wat import Contract
from tests.support.wat import returned as returns_answer

SOURCE = """# { "Depends": "py-genlayer:test" }
import typing
from genlayer import *

class Prompter(gl.Contract):
    def __init__(self):
        pass

    @gl.public.write
    def ask(self, prompts: list) -> typing.Any:
        def one(prompt, kind, images):
            try:
                return gl.nondet.exec_prompt(prompt, response_format=kind, images=images)
            except gl.nondet.NondetException as error:
                return error.args[0]
        return gl.eq_principle.strict_eq(lambda: [one(*prompt) for prompt in prompts])

    @gl.public.write
    def for_ever(self) -> None:
        def ask():
            while True:
                gl.nondet.exec_prompt("and again")
        gl.eq_principle.strict_eq(ask)

    @gl.public.write
    def uncaught(self) -> None:
        gl.eq_principle.strict_eq(lambda: gl.nondet.exec_prompt("hello"))
"""

DRAIN = 5.0
NOT_RUNNING = r"^modules are required but not running .*: the llm module is "
Played = dict[str, PlayedProvider]


@pytest.fixture(scope="module")
def node() -> Iterator[ServedNode]:
    with served_node(f"drain_timeout: {DRAIN}s\nclient_variables: [SOME_KEY]") as node:
        node.start(WEB, NO_BROWSER)
        yield node


@pytest.fixture(scope="module")
def contract(node: ServedNode) -> ServedContract:
    return node.deploy(SOURCE)


@pytest.fixture
def played(node: ServedNode) -> Iterator[Played]:
    """A provider of each kind, by its kind, at the module of the node."""
    with ExitStack() as stack:
        found = {kind: stack.enter_context(provider(kind)) for kind in FORMATS}
        node.restart_llm({name: one.backend(timeout="5s") for name, one in found.items()})
        yield found


@pytest.fixture
def openai(node: ServedNode) -> Iterator[PlayedProvider]:
    """The only one whom the module of the node asks."""
    with provider("openai-compatible") as played:
        node.restart_llm({"one": played.backend()})
        yield played


def prompt(text: str = "hello", kind: str = "text", *images: bytes) -> list[Any]:
    """One prompt as `Prompter.ask` takes it."""
    return [text, kind, list(images)]


def failed(backend: str, status: Any, *, http: bool = False) -> dict[str, Any]:
    """What a contract is told when this attempt was the only one."""
    attempt = {"backend": backend, "model": "test-model", "status": status}
    context = {"attempts": [attempt], **({"status": status} if http else {})}
    return {"causes": ["NO_PROVIDER_FOR_PROMPT"], "ctx": context}


def beside(threads: ThreadPoolExecutor, node: ServedNode, kind: str) -> Any:
    """Stop a module, on another thread."""

    def stop() -> float:
        began = time.monotonic()
        assert node.stop(kind) == "module_stopped"
        return time.monotonic() - began

    return threads.submit(stop)


# -------------------------------------------------------------------------------------- answers


def cases(kind: str) -> list[tuple[list[Any], list[Reply], Any]]:
    """Prompts, what the provider does with each, and what the contract gets."""
    found: list[tuple[list[Any], list[Reply], Any]] = [
        (prompt("¿qué tal? 🙂"), [Say("grüße, 世界 🙂\n")], "grüße, 世界 🙂\n"),
        (prompt("", "json"), [], {"causes": ["EMPTY_PROMPT"], "ctx": {}}),
        (prompt(kind="json"), [Say('{"a": [1, 0.5]}')], {"a": [1, "0.5"]}),
        (prompt(kind="json"), [Say('Sure:\n```json\n{"a": {}}\n```')], {"a": {}}),
        (prompt(kind="json"), [Say("no"), Say('{"a": 1}')], {"a": 1}),
        (prompt(kind="json"), [Say("[1]"), Say("no")], failed(kind, "INVALID_JSON")),
        (prompt(), [Say("")], failed(kind, "EMPTY_ANSWER")),
        (prompt(), [Fail(401, "who are you?")], failed(kind, 401, http=True)),
        (prompt(), [Fail(429, retry_after="3600")], failed(kind, 429, http=True)),
        (prompt(), [Fail(429, retry_after="0.1"), Say("now")], "now"),
        (prompt(), [Fail(500)], failed(kind, 500, http=True)),
        (prompt(), [Cut()], failed(kind, "CONNECTION")),
        (prompt(), [Cut(in_body=True)], failed(kind, "CONNECTION")),
        (prompt(), [Raw(b"<html>")], failed(kind, "MALFORMED_REPLY")),
        (prompt(), [Hang()], failed(kind, "TIMEOUT")),
    ]
    if kind == "ollama":
        found.append((prompt(), [Flood(MAX_BODY + (4 << 20))], failed(kind, "BODY_TOO_LARGE")))
    return found


def test_whatever_providers_do_a_contract_can_tell(
    node: ServedNode, contract: ServedContract, played: Played
) -> None:
    """Four runs at once, each with a provider of its own, whom the node names."""
    runs = {}
    for kind, one in played.items():
        one.do(*(reply for _, answers, _ in cases(kind) for reply in answers))
        prompts = [asked for asked, _, _ in cases(kind)]
        runs[kind] = contract.begin("ask", prompts, host_data={"studio_llm_id": kind})
    for kind, run_id in runs.items():
        expected = [gets for _, _, gets in cases(kind)]
        assert node.end(run_id).returned() == expected
        assert played[kind].asked[0].user == "¿qué tal? 🙂"


def test_the_node_names_who_is_asked_and_who_is_next(
    contract: ServedContract, played: Played
) -> None:
    for kind, one in played.items():
        one.by_default = lambda _, kind=kind: Say(f"it is {kind}")  # type: ignore[misc]
    both = {"studio_llm_id": "google", "fallback_llm_id": "ollama"}
    played["google"].do(Say("it is google"), Fail(503))
    answers = contract.lead("ask", [prompt(), prompt()], host_data=both).returned()
    assert answers == ["it is google", "it is ollama"]
    assert [len(one.asked) for one in played.values()] == [0, 0, 2, 1]
    assert contract.lead("ask", [prompt()]).returned() == ["it is anthropic"]


def test_images_reach_a_model(contract: ServedContract, openai: PlayedProvider) -> None:
    png, jpeg = b"\x89PNG\r\n\x1a\n" + bytes(100), b"\xff\xd8\xff\xe0" + bytes(100)
    prompts = [
        prompt("what is it?", "text", png, jpeg),
        prompt("what is it?", "text", b"GIF89a"),
        prompt("what is it?", "text", png + bytes(5 << 20)),
    ]
    seen, *refused = contract.lead("ask", prompts).returned()
    assert seen == "fine"
    causes = ["INVALID_IMAGE", "IMAGE_TOO_LARGE"]
    assert [each["causes"] for each in refused] == [[cause] for cause in causes]
    (asked,) = openai.asked
    assert asked.images == [("image/png", png), ("image/jpeg", jpeg)]


# --------------------------------------------------------------------------------- configuration


def test_a_variable_that_is_set_later_becomes_the_key(
    node: ServedNode, contract: ServedContract
) -> None:
    with provider("google", key="sk-of-the-environment") as played:
        backend = played.backend(key="${ENV[SOME_KEY]}")
        config = module_config({"one": backend}, vm_count=5)
        node.stop(LLM)
        refused = node.post("/module/start", module_type=LLM, config=config)
        assert refused.status_code == 500
        reason = "no usable LLM backend: set SOME_KEY (POST /env) and restart the module"
        assert reason in refused.json()["error"]
        shown = node.status()["modules"][LLM]
        assert (shown["state"], reason in shown["reason"]) == ("stopped", True)
        node.post("/env", key="SOME_KEY", value="sk-of-the-environment")
        warnings = node.service.log.count("llm_config_unknown_keys keys=vm_count")
        node.start(LLM, config)
        assert contract.lead("ask", [prompt()]).returned() == ["fine"]
        # Two workers read it, one of them tells.
        assert node.service.log.count("llm_config_unknown_keys") == warnings + 1


def test_without_a_key_prompts_say_which_to_set(node: ServedNode, contract: ServedContract) -> None:
    node.stop(LLM)
    assert node.post("/module/start", module_type="Llm").json() == {"result": "module_started"}
    (answer,) = contract.lead("ask", [prompt()]).returned()
    reason = node.status()["modules"][LLM]["reason"]
    assert "set OPENAIKEY, ANTHROPICKEY, GEMINIKEY or OPENROUTERKEY (POST /env)" in reason
    assert answer == {
        "causes": ["NO_PROVIDER_FOR_PROMPT"],
        "ctx": {"attempts": [], "reason": reason},
    }
    node.post("/env", key="GEMINIKEY", value="sk-never-used")
    assert node.post("/module/restart", module_type="Llm").json() == {"result": "module_restarted"}
    assert node.status()["modules"][LLM]["reason"] is None


def test_a_module_may_start_with_nobody_to_ask(node: ServedNode, contract: ServedContract) -> None:
    node.stop(LLM)
    node.start(LLM, {"backends": {}}, allow_empty_backends=True)
    (answer,) = contract.lead("ask", [prompt()]).returned()
    assert answer["causes"] == ["NO_PROVIDER_FOR_PROMPT"]
    assert answer["ctx"]["attempts"] == []
    assert "the configuration names none" in answer["ctx"]["reason"]


def test_a_module_may_answer_everything_with_a_user_error(
    node: ServedNode, contract: ServedContract
) -> None:
    node.stop(LLM)
    node.start(LLM, {}, user_error=True)
    causes = ["MODULE_USER_ERROR"]
    assert contract.lead("ask", [prompt()]).returned() == [{"causes": causes, "ctx": {}}]
    result = contract.lead("uncaught").result
    assert (result.code, result.data) == (ResultCode.VM_ERROR, "exit_code 1")


# --------------------------------------------------------------------------------------- trouble


def test_a_worker_that_is_killed_in_mid_prompt_ends_its_run_and_is_replaced(
    node: ServedNode, contract: ServedContract, openai: PlayedProvider
) -> None:
    openai.do(Hang())
    run_id = contract.begin("ask", [prompt()])
    wait_until(lambda: openai.asked)
    (victim,) = [each["pid"] for each in node.workers() if each["sessions"]]
    os.kill(victim, signal.SIGKILL)
    ran = node.end(run_id)
    assert "the llm module is gone" in ran.internal_error()
    assert ran.reply.cause is Cause.EXITED
    assert openai.hung_up.acquire(timeout=TIMEOUT)
    assert node.status()["llm_module"] == "running"
    wait_until(lambda: None not in [each["pid"] for each in node.workers()])
    assert victim not in [each["pid"] for each in node.workers()]
    assert "a worker of the llm module was ended by SIGKILL" in node.service.log
    assert contract.lead("ask", [prompt()]).returned() == ["fine"]


def test_a_contract_that_prompts_for_ever_is_ended_by_its_deadline(
    node: ServedNode, contract: ServedContract, openai: PlayedProvider
) -> None:
    hang = Hang()
    openai.by_default = lambda _: hang if len(openai.asked) > 3 else Say("go on")
    ran = contract.lead("for_ever", deadline="6s")
    assert ran.reply.cause is Cause.DEADLINE
    assert len(openai.asked) == 4
    assert openai.hung_up.acquire(timeout=TIMEOUT)
    wait_until(lambda: [each["sessions"] for each in node.workers()] == [0, 0])


def test_fifty_runs_prompt_at_once(node: ServedNode, openai: PlayedProvider) -> None:
    """Nobody is answered before all have asked."""
    count = 50
    node.restart_llm({"one": openai.backend(timeout="10m")}, timeout="10m")
    hang = Hang()
    openai.by_default = lambda _: hang
    contract = Contract()
    request = {"prompt": "hello", "response_format": "text", "images": []}
    wasm = blocks(contract, lead=returns_answer(contract.gl_call({"ExecPrompt": request})))
    node.service.client.set_permits(2 * count)
    try:
        with ThreadPoolExecutor(count) as threads:
            begun = [threads.submit(node.begin, b"M", code=wasm) for _ in range(count)]
            wait_until(lambda: len(openai.asked) == count)
            assert [each["sessions"] for each in node.workers()] == [count // 2] * 2
            hang.released.set()
            ended = [node.end(each.result(TIMEOUT)) for each in begun]
    finally:
        node.service.client.set_permits(8)
    assert [ran.result.code for ran in ended] == [ResultCode.RETURN] * count
    assert {ran.result.nondet_results[0] for ran in ended} == {returned({"ok": "at last"})}


def test_a_module_that_is_stopped_waits_for_its_runs_and_then_ends_them(
    node: ServedNode, contract: ServedContract, openai: PlayedProvider
) -> None:
    hang = Hang()
    openai.do(hang, Hang())
    with ThreadPoolExecutor(1) as threads:
        patient = contract.begin("ask", [prompt()])
        wait_until(lambda: len(openai.asked) == 1)
        stopping = beside(threads, node, LLM)
        wait_until(lambda: node.status()["llm_module"] == "stopping")
        hang.released.set()
        assert node.end(patient).returned() == ["at last"]
        assert stopping.result(TIMEOUT) < DRAIN
        with pytest.raises(RequestFailed, match=NOT_RUNNING):
            contract.begin("ask", [prompt()])
        node.start(LLM, module_config({"one": openai.backend()}))
        hanging = contract.begin("ask", [prompt()])
        wait_until(lambda: len(openai.asked) == 2)
        took = beside(threads, node, LLM).result(TIMEOUT)
        assert took >= DRAIN
        assert "the llm module is gone" in node.end(hanging).internal_error()
    assert node.status()["llm_module"] == "stopped"

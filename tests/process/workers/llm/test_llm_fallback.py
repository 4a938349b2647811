"""Which backend the LLM module asks, and what it does when one fails."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.protocol.module_frames import FatalFault, ModuleHello, UserFault
from tests.support.llm_module import llm_module, run
from tests.support.providers import (
    Cut,
    Fail,
    Hang,
    PlayedProvider,
    Raw,
    Reply,
    Say,
    module_config,
    provider,
)

Played = dict[str, PlayedProvider]


@pytest.fixture
def three() -> Iterator[Played]:
    """Backends a, b and c, in this order of priority, each of another kind."""
    kinds = {"a": "openai-compatible", "b": "anthropic", "c": "google"}
    with ExitStack() as stack:
        played = {name: stack.enter_context(provider(kind)) for name, kind in kinds.items()}
        for name, one in played.items():
            one.by_default = lambda _, name=name: Say(f"it is {name}")  # type: ignore[misc]
        yield played


def config(played: Played, **model: Any) -> dict[str, Any]:
    places = zip(played.items(), (3, 2, 1), strict=True)
    return module_config(
        {name: one.backend(priority=place, **model) for (name, one), place in places}
    )


def ask(settings: dict[str, Any], host: dict[str, Any] | None = None, **more: Any) -> Any:
    """The answer to one prompt; the context of the error if there is none."""

    async def work() -> Any:
        async with llm_module(settings) as llm:
            try:
                return await llm.prompt(host=host, **more)
            except UserFault as fault:
                assert fault.causes == ["NO_PROVIDER_FOR_PROMPT"]
                return fault.context

    return run(work())


def asked(played: Played) -> list[int]:
    return [len(one.asked) for one in played.values()]


def test_the_first_by_priority(three: Played) -> None:
    assert ask(config(three)) == "it is a"
    assert asked(three) == [1, 0, 0]


@pytest.mark.parametrize(
    "reply",
    [
        Fail(401),
        Fail(403),
        Fail(404),
        Fail(408),
        Fail(429, retry_after="1"),
        Fail(500),
        Fail(529),
        Cut(),
        Raw(b"?"),
        Say(""),
        Hang(),
    ],
    ids=str,
)
def test_one_that_fails_is_followed_by_the_next(three: Played, reply: Reply) -> None:
    three["a"].do(reply)
    three["b"].do(Fail(503))
    assert ask(config(three, timeout="500ms" if isinstance(reply, Hang) else "10s")) == "it is c"
    assert asked(three) == [1, 1, 1]


def test_json_goes_to_the_next_after_two_tries(three: Played) -> None:
    three["b"].say('{"from": "b"}')
    assert ask(config(three), response_format="json") == {"from": "b"}
    assert asked(three) == [2, 1, 0]


def test_nobody_is_left(three: Played) -> None:
    three["a"].do(Fail(500))
    three["b"].do(Fail(418))
    three["c"].do(Cut())
    assert ask(config(three)) == {
        "attempts": [
            {"backend": "a", "model": "test-model", "status": 500},
            {"backend": "b", "model": "test-model", "status": 418},
            {"backend": "c", "model": "test-model", "status": "CONNECTION"},
        ],
        "status": 418,
    }


def test_a_host_where_nobody_listens(three: Played) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        settings = config(three)
        settings["backends"]["a"]["host"] = f"http://127.0.0.1:{held.getsockname()[1]}"
        settings["backends"]["b"]["host"] = "http://no-such-host.invalid"
        assert ask(settings) == "it is c"


def test_only_models_that_can_do_it_are_asked(three: Played) -> None:
    settings = config(three)
    backends = settings["backends"]
    backends["a"]["models"]["test-model"] = {"supports_json": False, "supports_image": True}
    backends["b"]["models"]["test-model"] = {"supports_json": True, "supports_image": False}
    three["b"].say('{"x": 1}')
    assert ask(settings, response_format="json") == {"x": 1}
    assert ask(settings, images=[b"\xff\xd8\xff"]) == "it is a"
    assert asked(three) == [1, 1, 0]
    backends["c"]["enabled"] = False
    context = ask(settings, response_format="json", images=[b"\xff\xd8\xff"])
    assert context == {"attempts": []}


def test_the_node_names_the_backend_and_the_next(three: Played) -> None:
    host = {"studio_llm_id": "c", "fallback_llm_id": "b", "node_address": "0x0"}
    assert ask(config(three), host) == "it is c"
    three["c"].do(Fail(500))
    assert ask(config(three), host) == "it is b"
    three["c"].do(Fail(500))
    three["b"].do(Fail(500))
    assert [each["backend"] for each in ask(config(three), host)["attempts"]] == ["c", "b"]
    assert asked(three) == [0, 2, 3]
    assert ask(config(three), {"studio_llm_id": "gone", "fallback_llm_id": None}) == {
        "attempts": [{"backend": "gone", "model": None, "status": "NOT_CONFIGURED"}]
    }


def test_a_hello_that_names_no_text_is_refused(three: Played) -> None:
    async def work() -> None:
        async with llm_module(config(three)) as llm:
            with pytest.raises(FatalFault, match="studio_llm_id: expected str"):
                await llm.module.open_session(ModuleHello(1, {"studio_llm_id": 5}))

    run(work())


def test_a_short_pause_is_kept_when_nobody_else_is_left() -> None:
    with provider("openai-compatible") as one, provider("anthropic") as other:
        one.do(Fail(429, retry_after="0.2"))
        other.do(Fail(429, retry_after="3600"))
        settings = module_config({"a": one.backend(), "b": other.backend()})
        started = time.monotonic()
        assert ask(settings) == "fine"
        assert time.monotonic() - started >= 0.2
        assert (len(one.asked), len(other.asked)) == (2, 1)


def test_the_time_of_a_prompt_is_shared_by_all_attempts(three: Played) -> None:
    for one in three.values():
        one.do(Hang(), Hang())
    context = ask({**config(three), "timeout": "3s"})
    assert [each["status"] for each in context["attempts"]] == [
        "TIMEOUT",
        "NO_TIME_LEFT",
        "NO_TIME_LEFT",
    ]
    assert asked(three) == [1, 0, 0]


def test_models_of_one_backend_follow_each_other() -> None:
    with provider("openai-compatible") as played:
        backend = played.backend()
        backend["models"] = {
            "second": {},
            "first": {"meta": {"priority": 1}},
            "off": {"enabled": False},
        }
        played.do(Fail(503))
        assert ask(module_config({"one": backend})) == "fine"
        assert [each.model for each in played.asked] == ["first", "second"]


def test_without_a_backend_it_does_not_start() -> None:
    async def work(settings: dict[str, Any], **options: Any) -> Any:
        async with llm_module(settings, **options) as llm:
            with pytest.raises(UserFault) as caught:
                await llm.prompt()
            return caught.value.causes, caught.value.context

    with provider("openai-compatible") as played:
        settings = module_config({"one": played.backend(key="")})
        with pytest.raises(RequestFailed, match=r"backend \(one: its key is empty\)"):
            run(work(settings))
        with pytest.raises(RequestFailed, match="the configuration names none"):
            run(work({}))
        unset = {"backends.one.key": "A_KEY"}
        for given, variables, cause in (
            (settings, {}, " (one: its key is empty): configure one"),
            (settings, unset, ": set A_KEY (POST /env)"),
            ({}, unset, " (the configuration names none): configure one"),
        ):
            reason = f"no usable LLM backend{cause} and restart the module"
            nobody = (["NO_PROVIDER_FOR_PROMPT"], {"attempts": [], "reason": reason})
            options = {"allow_empty_backends": True, "unset_variables": variables}
            assert run(work(given, **options)) == nobody
        with pytest.raises(BadRequest, match="timeout: expected a duration"):
            run(work({**settings, "timeout": "soon"}, allow_empty_backends=True))


def test_what_the_log_says_of_a_configuration() -> None:
    async def work() -> str:
        with provider("openai-compatible") as played:
            backends = {"one": played.backend(), "two": played.backend(key="")}
            settings = {**module_config(backends), "vm_count": 5, "lua_script_path": "x"}
            async with llm_module(settings) as llm:
                return llm.log.text

    text = run(work())
    assert text.count("llm_config_unknown_keys") == 1
    assert '"keys":"lua_script_path, vm_count"' in text
    assert text.count("llm_backend_dropped") == 1
    assert '"backend":"two","reason":"its key is empty"' in text

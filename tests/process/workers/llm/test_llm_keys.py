"""No key of a provider is ever to be seen."""

from __future__ import annotations

import base64
import traceback
from typing import Any

import pytest

from genvm_manager.base.errors import ManagerError
from genvm_manager.protocol import calldata
from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt
from genvm_manager.protocol.module_frames import UserFault, encode_fault
from genvm_manager.workers.llm.check import check
from genvm_manager.workers.llm.config import read_config
from tests.support.llm_module import llm_module, run
from tests.support.provider_formats import FORMATS
from tests.support.providers import Cut, Fail, Hang, Raw, Reply, Say, module_config, provider

KEY = "sk-live-SECRETkey-9f8e7d6c5b4a"


def assert_hidden(text: str) -> None:
    """Neither the key nor a telling part of it is there, in whatever form."""
    for part in (KEY, "SECRETkey", KEY[-10:], base64.b64encode(KEY.encode()).decode()[:12]):
        assert part not in text


REPLIES: list[Reply] = [
    Say("fine"),
    Say(f"your key is {KEY}"),
    Fail(401, f"Incorrect API key provided: {KEY}"),
    Fail(403, f"key {KEY[:20]}*** is blocked"),
    Fail(500, f"crashed while {KEY} was read"),
    Fail(429, f"{KEY} is used up"),
    Raw(f"garbage {KEY}".encode()),
    Cut(),
    Cut(in_body=True),
    Hang(),
]


@pytest.mark.parametrize("kind", FORMATS)
def test_not_in_logs_and_not_in_what_a_contract_gets(kind: str) -> None:
    """At the finest level, with what the HTTP library logs; except if the model itself says it."""

    async def work(reply: Reply) -> tuple[str, bytes]:
        settings = module_config({"one": played.backend(timeout="500ms")})
        async with llm_module(settings) as llm:
            try:
                answer = calldata.encode(await llm.prompt("hello"))
            except UserFault as fault:
                shown = "".join(traceback.format_exception(fault)) + repr(fault.context)
                answer = encode_fault(fault) + shown.encode()
            return llm.log.text, answer

    with provider(kind, KEY) as played:
        for reply in REPLIES:
            played.do(reply)
            text, answer = run(work(reply))
            assert "one" in text
            assert_hidden(text)
            if not isinstance(reply, Say):
                assert_hidden(answer.decode("utf-8", "replace"))


def test_not_when_the_provider_refuses_it() -> None:
    with provider("openai-compatible", "sk-another", may_be_asked_wrongly=True) as played:

        async def work() -> str:
            async with llm_module(module_config({"one": played.backend(key=KEY)})) as llm:
                with pytest.raises(UserFault) as caught:
                    await llm.prompt()
                assert caught.value.context["status"] == 401
                assert_hidden(repr(caught.value.context))
                return llm.log.text

        text = run(work())
        assert KEY in played.wrong[0], "the provider quotes the key in its answer"
    assert "the provider refuses the key" in text
    assert_hidden(text)


@pytest.mark.parametrize("reply", REPLIES[1:], ids=str)
def test_not_in_what_a_check_says(reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genvm_manager.workers.llm.check.ROW_TIMEOUT", 0.5)
    with provider("openai-compatible", KEY) as played:
        played.do(reply)
        config = CheckConfig(played.host, "openai-compatible", "m", KEY)
        assert_hidden(repr(config))
        rows = run(check([config], [CheckPrompt(None, "hi", 0.0, 10)]))
        assert_hidden(str(rows[0].error))


@pytest.mark.parametrize("key", [KEY + "\r\nx: y", KEY + "\x00", KEY + "é", f"{KEY} {KEY}"])
def test_not_when_no_header_can_hold_it(key: str) -> None:
    value: dict[str, Any] = {
        "backends": {"one": {"host": "http://h", "provider": "anthropic", "key": key}}
    }
    with pytest.raises(ManagerError) as caught:
        read_config(value)
    assert_hidden("".join(traceback.format_exception(caught.value)))
    config = CheckConfig("http://127.0.0.1:1", "anthropic", "m", key)
    row = run(check([config], [CheckPrompt(None, "hi", 0.0, 10)]))[0]
    assert row.error == "key: holds a space or a character that is not allowed in an HTTP header"


def test_not_in_a_configuration_that_is_printed() -> None:
    backend = {"host": "http://h", "provider": "anthropic", "key": KEY, "models": {"m": {}}}
    read = read_config({"backends": {"one": backend}})
    assert read.config.backends["one"].key.reveal() == KEY
    assert_hidden(repr(read))

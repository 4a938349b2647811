"""The LLM module and each kind of provider, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.protocol.module_frames import UserFault
from genvm_manager.workers.llm.transport import MAX_BODY
from tests.support.llm_module import llm_module, run
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
from tests.support.waiting import TIMEOUT
from tests.support.web_world import heard, talker

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))


@pytest.fixture(params=FORMATS)
def played(request: pytest.FixtureRequest) -> Iterator[PlayedProvider]:
    with provider(request.param) as one:
        yield one


def only(played: PlayedProvider, **model: Any) -> dict[str, Any]:
    return module_config({"one": played.backend(**model)})


def answer_or_statuses(
    played: PlayedProvider, *, response_format: str = "text", **model: Any
) -> Any:
    """Return what one prompt gives: its value, or the statuses of the attempts that failed."""

    async def work() -> Any:
        async with llm_module(only(played, **model)) as llm:
            try:
                return await llm.prompt(response_format=response_format)
            except UserFault as fault:
                assert fault.causes == ["NO_PROVIDER_FOR_PROMPT"]
                attempts = fault.context["attempts"]
                assert all(each["backend"] == "one" for each in attempts)
                return [each["status"] for each in attempts]

    return run(work())


def test_a_prompt_as_each_provider_takes_it(played: PlayedProvider) -> None:
    played.say("grüße, 世界 🙂", '{"a": 0.5}')

    async def work() -> None:
        async with llm_module(only(played, max_tokens=77, temperature=0.5)) as llm:
            assert await llm.prompt("what  is\nnew?", images=[PNG, JPEG]) == "grüße, 世界 🙂"
            assert await llm.prompt("как дела? 🙂", response_format="json") == {"a": "0.5"}

    run(work())
    first, second = played.asked
    assert (first.model, first.user, first.system) == ("test-model", "what is new?", None)
    assert first.images == [("image/png", PNG), ("image/jpeg", JPEG)]
    assert (first.max_tokens, first.temperature, first.wants_json) == (77, 0.5, False)
    assert second.user == "как дела? 🙂"
    assert "JSON" in (second.system or "")
    assert second.wants_json or played.speaks.provider == "anthropic"
    assert second.images == []


def test_judges_as_each_provider_takes_them(played: PlayedProvider) -> None:
    played.say('{"reason": "same", "result": true}', '```json\n{"result": false}\n```', "a poem")

    async def work() -> None:
        async with llm_module(only(played)) as llm:
            assert await llm.judge("left", "right", "alike") is True
            texts = {"task": "t", "criteria": "c", "input": "i"}
            validator = {"template": "EqNonComparativeValidator", **texts, "output": "o"}
            assert await llm.request("PromptTemplate", validator) is False
            leader = {"template": "EqNonComparativeLeader", **texts}
            assert await llm.request("PromptTemplate", leader) == "a poem"

    run(work())
    assert "judge only by the" in " ".join((played.asked[0].system or "").lower().split())
    for text in ("left", "right", "alike"):
        assert text in played.asked[0].user
    assert not played.asked[2].wants_json
    assert played.asked[0].temperature is None


def test_newer_openai_models_are_given_max_completion_tokens() -> None:
    with provider("openai-compatible") as played:
        assert answer_or_statuses(played) == "fine"
        assert answer_or_statuses(played, use_max_completion_tokens=True) == "fine"
        names = [asked.max_tokens_name for asked in played.asked]
    assert names == ["max_tokens", "max_completion_tokens"]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Fail(400), 400),
        (Fail(404), 404),
        (Fail(408), 408),
        (Fail(429, retry_after="3600"), 429),
        (Fail(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 429),
        (Fail(500), 500),
        (Fail(503), 503),
        (Fail(529), 529),
        (Fail(302), 302),
        (Cut(), "CONNECTION"),
        (Cut(in_body=True), "CONNECTION"),
        (Raw(b"not JSON"), "MALFORMED_REPLY"),
        (Raw(b"[]"), "MALFORMED_REPLY"),
        (Raw(b'{"some": "other form", "choices": 5, "content": 5, "candidates": 5}'), None),
        (Raw(b"\xff\xfe"), "MALFORMED_REPLY"),
        (Raw(b"[" * 100_000), "MALFORMED_REPLY"),
        (Say(""), "EMPTY_ANSWER"),
    ],
    ids=str,
)
def test_what_is_no_answer(played: PlayedProvider, reply: Reply, status: Any) -> None:
    played.do(reply)
    assert answer_or_statuses(played) == [status or "MALFORMED_REPLY"]
    assert len(played.asked) == 1


def test_a_reply_without_an_answer_in_it() -> None:
    with provider("openai-compatible") as openai, provider("google") as google:
        openai.do(Raw(b'{"choices": []}'), Raw(b'{"choices": [{"message": {"content": null}}]}'))
        google.do(Raw(b'{"promptFeedback": {"blockReason": "SAFETY"}}'), Raw(b'{"candidates": []}'))
        for played in (openai, openai, google, google):
            assert answer_or_statuses(played) == ["EMPTY_ANSWER"]


def test_thoughts_are_no_part_of_the_answer() -> None:
    parts = [{"text": "let me think", "thought": True}, {"text": "one "}, {"text": "two"}]
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "x"}]
    with provider("google") as google, provider("anthropic") as anthropic:
        google.do(Raw(json.dumps({"candidates": [{"content": {"parts": parts}}]}).encode()))
        assert answer_or_statuses(google) == "one two"
        blocks += [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
        anthropic.do(Raw(json.dumps({"content": blocks}).encode()))
        assert answer_or_statuses(anthropic) == "one two"


def test_a_huge_body_is_cut_off() -> None:
    with provider("openai-compatible") as played:
        played.do(Flood(MAX_BODY + (4 << 20)))
        assert answer_or_statuses(played) == ["BODY_TOO_LARGE"]
        assert answer_or_statuses(played) == "fine"


def test_a_slow_model_is_given_up(played: PlayedProvider) -> None:
    played.do(Hang())
    assert answer_or_statuses(played, timeout="300ms") == ["TIMEOUT"]
    assert played.hung_up.acquire(timeout=TIMEOUT)


def test_a_slow_answer_in_time_is_an_answer(played: PlayedProvider) -> None:
    hang = Hang()
    played.do(hang)

    async def work() -> Any:
        async with llm_module(only(played)) as llm:
            asking = asyncio.create_task(llm.prompt())
            while not played.asked:
                await asyncio.sleep(0.01)
            hang.released.set()
            return await asking

    assert run(work()) == "at last"


def test_json_that_is_none_is_asked_for_once_more(played: PlayedProvider) -> None:
    played.say("I would rather not.", '{"a": 1}')
    assert answer_or_statuses(played, response_format="json") == {"a": 1}
    played.say("[1, 2]", '{"a": 1} or {"a": 2}', '{"never": "read"}')
    assert answer_or_statuses(played, response_format="json") == ["INVALID_JSON"]
    assert len(played.asked) == 4


def test_a_cancelled_prompt_hangs_up(played: PlayedProvider) -> None:
    """As when the executor goes away."""
    played.do(Hang())

    async def work() -> None:
        async with llm_module(only(played)) as llm:
            asking = asyncio.create_task(llm.prompt())
            while not played.asked:
                await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await llm.prompt() == "fine"

    run(work())
    assert played.hung_up.acquire(timeout=TIMEOUT)


ANSWER = json.dumps({"response": "fine", "done": True}).encode()
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n" + ANSWER.replace(b"fine", b"bad!")


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
@pytest.mark.parametrize("size", [None, 1 << 16, 2 << 16])
def test_what_comes_after_an_answer_is_no_answer_to_the_next_prompt(
    status: bytes, size: int | None
) -> None:
    """The connections are shared by all contracts: one would get what was meant for another."""
    head = b"HTTP/1.1 %b\r\nContent-Length: %6d\r\n\r\n"
    length = len(ANSWER) if size is None else size - len(head % (status, 0))
    answer = head % (status, length) + ANSWER.ljust(length)
    connections: list[int] = []

    def talk(connection: socket.socket) -> None:
        connections.append(len(connections))
        while asked_on(connection):
            if connections[-1] == 0:
                connection.sendall(answer + FORGED)
            else:
                connection.sendall(head % (b"200 OK", len(ANSWER)) + ANSWER)

    async def work() -> list[str]:
        backend = {"host": server.url().rstrip("/"), "provider": "ollama", "models": {"m": {}}}
        said = []
        async with llm_module(module_config({"one": backend})) as llm:
            for _ in range(3):
                try:
                    said.append(await llm.prompt())
                except UserFault:
                    said.append("refused")
        return said

    with talker(talk) as server:
        first = "fine" if status.startswith(b"2") else "refused"
        assert run(work()) == [first, "fine", "fine"]
    assert connections == [0, 1]


def asked_on(connection: socket.socket) -> bool:
    """Whether one more request came, which is read to its end."""
    head = heard(connection)
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is not None and bool(connection.recv(int(length[1]), socket.MSG_WAITALL))


def test_many_at_once(played: PlayedProvider) -> None:
    played.by_default = lambda asked: Say(asked.user.upper())

    async def work() -> list[str]:
        async with llm_module(only(played)) as llm:
            return list(await asyncio.gather(*(llm.prompt(f"number {i}") for i in range(100))))

    assert run(work()) == [f"NUMBER {i}" for i in range(100)]

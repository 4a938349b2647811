"""Asking providers whether they work."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt, CheckRow
from genvm_manager.workers.llm.check import MAX_RESPONSE, check
from genvm_manager.workers.outbound.trust import usual_trust
from tests.support.llm_module import run
from tests.support.provider_formats import FORMATS, Asked
from tests.support.providers import Fail, Hang, PlayedProvider, Raw, Reply, Say, provider
from tests.support.web_world import heard, talker

HELLO = CheckPrompt("be brief", "say hello", 0.25, 20)


def config(played: PlayedProvider, **changed: str) -> CheckConfig:
    fields = {
        "host": played.host,
        "provider": played.speaks.provider,
        "model": "m",
        "key": played.key,
        **changed,
    }
    return CheckConfig(**fields)  # type: ignore[arg-type]


def test_each_configuration_times_each_prompt_in_order() -> None:
    prompts = [HELLO, CheckPrompt(None, "and again", 0.0, 5, [], True)]
    with ExitStack() as stack:
        played = [stack.enter_context(provider(kind)) for kind in FORMATS]
        for one in played:
            one.by_default = lambda asked: Say(f"{asked.user}!")
        rows = run(check([config(one) for one in played], prompts))
        asked = {one.speaks.provider: sorted(one.asked, key=lambda a: a.user) for one in played}
    assert rows == [
        CheckRow(c, p, True, None, f"{prompt.user_message}!")
        for c in range(4)
        for p, prompt in enumerate(prompts)
    ]
    for again, hello in asked.values():
        assert (hello.system, hello.temperature, hello.max_tokens) == ("be brief", 0.25, 20)
        assert (again.system, again.temperature, again.max_tokens) == (None, 0.0, 5)
        assert hello.wants_json is False
    assert asked["openai-compatible"][0].max_tokens_name == "max_completion_tokens"
    assert asked["openai-compatible"][1].max_tokens_name == "max_tokens"


def test_a_bad_provider_spoils_no_other_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genvm_manager.workers.llm.check.ROW_TIMEOUT", 1.0)
    with ExitStack() as stack:
        held = stack.enter_context(socket.socket())
        held.bind(("127.0.0.1", 0))
        bad = stack.enter_context(provider("openai-compatible", may_be_asked_wrongly=True))
        good = stack.enter_context(provider("anthropic"))
        one_by_one = threading.Lock()

        def by_model(asked: Asked) -> Reply:
            answers: dict[str, Reply] = {
                "broken": Fail(500, "out of order"),
                "hanging": Hang(),
                "garbled": Raw(b"?"),
                "mute": Say(""),
                "chatty": Say("x" * (MAX_RESPONSE + 5)),
            }
            with one_by_one:
                return answers[asked.model]

        bad.by_default = by_model
        rows = run(
            check(
                [
                    config(bad, model="broken"),
                    config(bad, model="hanging"),
                    config(bad, model="garbled"),
                    config(bad, model="mute"),
                    config(bad, model="chatty"),
                    config(bad, key="sk-wrong"),
                    config(bad, key=""),
                    config(bad, host="nowhere"),
                    config(bad, host=f"http://127.0.0.1:{held.getsockname()[1]}"),
                    config(bad, model=""),
                    config(good, host=good.host + "/"),
                ],
                [HELLO],
            )
        )
    assert [row.error for row in rows] == [
        "HTTP 500: out of order",
        "no answer within 1.0 s",
        "the reply does not have the form that openai-compatible documents",
        "the model's answer is empty",
        None,
        "HTTP 401: the provider refuses the key",
        "key: is empty; this provider needs one",
        "host: expected http://HOST or https://HOST",
        "ConnectError: Connection refused",
        "model: is empty",
        None,
    ]
    assert [row.available for row in rows] == [row.error is None for row in rows]
    assert rows[-1].response == "fine"
    assert rows[4].response == "x" * MAX_RESPONSE


def test_images_are_looked_at() -> None:
    png = b"\x89PNG\r\n\x1a\n"
    with provider("google") as played:
        prompts = [
            CheckPrompt(None, "what is it?", 0.0, 5, [png]),
            CheckPrompt(None, "what is it?", 0.0, 5, [b"GIF"]),
        ]
        good, bad = run(check([config(played)], prompts))
    assert good.available
    assert bad.error == "images: INVALID_IMAGE"


def test_all_are_asked_at_once() -> None:
    """Each of 40 waits until all have been asked."""
    hang = Hang()
    with provider("ollama") as played:
        count = 40

        def reply(_: object) -> Hang:
            if len(played.asked) == count:
                hang.released.set()
            return hang

        played.by_default = reply
        rows = run(check([config(played)] * count, [HELLO]))
    assert [row.response for row in rows] == ["at last"] * count


def test_nothing_to_ask() -> None:
    assert run(check([], [HELLO])) == []


def test_a_proxy_is_that_of_the_configuration_and_none_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heads: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heads.append(heard(connection))
        connection.sendall(b"HTTP/1.1 418 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with talker(talk) as elsewhere, provider("openai-compatible") as played:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://{elsewhere.host}")
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        (row,) = run(check([config(played)], [HELLO]))
        assert (row.available, heads) == (True, [])
        far = config(played, host="http://provider.invalid")
        (row,) = run(check([far], [HELLO], proxy=f"http://{elsewhere.host}"))
    assert (row.error or "").startswith("HTTP 418")
    assert [head.partition(b"provider.invalid/")[0] for head in heads] == [b"POST http://"]
    assert usual_trust().keylog_filename is None

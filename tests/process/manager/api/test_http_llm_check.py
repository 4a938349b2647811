"""`POST /llm/check`, asked over HTTP with no module running."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest

from genvm_manager.protocol.llm_check import MAX_CHECKS, ROWS_AT_ONCE
from tests.support.provider_formats import FORMATS, Asked
from tests.support.providers import Fail, Hang, PlayedProvider, Raw, Reply, Say, provider
from tests.support.service import RunningService, processes_of
from tests.support.waiting import TIMEOUT, wait_until

ROW_TIMEOUT = 5.0
SHORT_TIMEOUT = (
    f"from genvm_manager.protocol import llm_check\nllm_check.ROW_TIMEOUT = {ROW_TIMEOUT}\n"
)
HELLO = {"system_message": None, "user_message": "hello", "temperature": 0.5, "max_tokens": 9}
UNSET = "key: the variable NOT_SET_ANYWHERE is not set"


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    """One whose providers have less time."""
    settings = "client_variables: [NOT_SET_ANYWHERE]"
    with RunningService("--no-precompile", config=settings, customize=SHORT_TIMEOUT) as running:
        yield running


@pytest.fixture
def played() -> Iterator[PlayedProvider]:
    with provider("openai-compatible", may_be_asked_wrongly=True) as one:
        yield one


def config(played: PlayedProvider, **changed: Any) -> dict[str, Any]:
    kind = played.speaks.provider
    return {"host": played.host, "provider": kind, "model": "m", "key": played.key, **changed}


def ask(service: RunningService, configs: list[Any], *prompts: Any) -> httpx.Response:
    body = {"configs": configs, "test_prompts": list(prompts)}
    return service.http.post("/llm/check", json=body, timeout=TIMEOUT)


def asking_processes(service: RunningService) -> list[psutil.Process]:
    """Those that ask providers."""
    return [each for each in processes_of(service.state) if " llm " in " ".join(each.cmdline())]


def row(config: int, prompt: int, response: str | None, error: str | None = None) -> dict[str, Any]:
    return {
        "config_index": config,
        "prompt_index": prompt,
        "available": error is None,
        "error": error,
        "response": response,
    }


def test_each_provider_is_asked_each_prompt(service: RunningService) -> None:
    with ExitStack() as stack:
        played = [stack.enter_context(provider(kind, f"sk-{kind}-0123456")) for kind in FORMATS]
        for one in played:
            one.by_default = lambda asked: Say(f"{asked.user} 🙂")
        for number, one in enumerate(played):
            variable = {"key": f"PROVIDER_{number}", "value": one.key}
            assert service.http.post("/env", json=variable).is_success
        configs = [
            config(one, key=f"${{ENV[PROVIDER_{number}]}}") for number, one in enumerate(played)
        ]
        longer: dict[str, Any] = HELLO | {"user_message": "and again", "images": []}
        longer |= {"max_tokens": 5, "use_max_completion_tokens": True}
        answer = ask(service, configs, HELLO, longer)
    assert answer.status_code == 200
    texts = ("hello 🙂", "and again 🙂")
    assert answer.json() == [row(c, p, text) for c in range(4) for p, text in enumerate(texts)]
    assert service.http.get("/status").json()["llm_module"] == "stopped"
    assert not asking_processes(service)


def test_a_bad_provider_spoils_no_other_row(
    service: RunningService, played: PlayedProvider
) -> None:
    by_model: dict[str, Reply] = {
        "good": Say("fine"),
        "broken": Fail(500, "out of order"),
        "busy": Fail(429, "later", retry_after="1"),
        "garbled": Raw(b"?"),
    }
    played.by_default = lambda asked: by_model.get(asked.model, Hang())
    began = time.monotonic()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        configs = [
            config(played, model="good"),
            config(played, model="broken"),
            config(played, model="busy"),
            config(played, model="garbled"),
            *[config(played, model=f"hangs {number}") for number in range(12)],
            config(played, key="sk-wrong"),
            config(played, key="${ENV[NOT_SET_ANYWHERE]}"),
            config(played, host=f"http://127.0.0.1:{held.getsockname()[1]}"),
            config(played, host="nowhere"),
            config(played, model="good"),
        ]
        rows = ask(service, configs, HELLO).json()
    assert rows == [
        row(number, 0, None if error else "fine", error)
        for number, error in enumerate(
            [
                None,
                "HTTP 500",
                "HTTP 429",
                "the reply does not have the form that openai-compatible documents",
                *[f"no answer within {ROW_TIMEOUT} s"] * 12,
                "HTTP 401: the provider refuses the key",
                UNSET,
                "no connection, or the connection broke",
                "host: expected http://HOST or https://HOST",
                None,
            ]
        )
    ]
    assert time.monotonic() - began < 12 * ROW_TIMEOUT, "each row has its own time"


def test_all_rows_are_asked_at_once(service: RunningService, played: PlayedProvider) -> None:
    """Each of 60 is answered when all have been asked."""
    hang = Hang()

    def reply(_: Asked) -> Reply:
        if len(played.asked) == 60:
            hang.released.set()
        return hang

    played.by_default = reply
    rows = ask(service, [config(played)] * 12, *[HELLO] * 5).json()
    assert [each["response"] for each in rows] == ["at last"] * 60


def test_nobody_asks_on_for_a_client_that_has_hung_up(
    service: RunningService, played: PlayedProvider
) -> None:
    played.by_default = lambda _: Hang()
    # More than are asked at once: by itself it would take twice the time of a row.
    rows = {"configs": [config(played)] * (ROWS_AT_ONCE + 1), "test_prompts": [HELLO]}
    body = json.dumps(rows).encode()
    url = httpx.URL(service.url)
    head = f"POST /llm/check HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((url.host, url.port)) as client:
        client.sendall(head.encode() + body)
        wait_until(lambda: played.asked)
        (asking,) = asking_processes(service)
    wait_until(lambda: not asking.is_running(), within=ROW_TIMEOUT)
    assert played.hung_up.acquire(timeout=TIMEOUT)


def test_more_checks_at_once_than_allowed_are_to_come_again(
    service: RunningService, played: PlayedProvider
) -> None:
    hang = Hang()
    played.by_default = lambda _: hang
    with ThreadPoolExecutor(MAX_CHECKS) as threads:
        asking = [threads.submit(ask, service, [config(played)], HELLO) for _ in range(MAX_CHECKS)]
        wait_until(lambda: len(asking_processes(service)) == MAX_CHECKS)
        refused = ask(service, [config(played)], HELLO)
        hang.released.set()
        answers = [each.result(TIMEOUT) for each in asking]
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["error"] == "4 checks are under way already; try again later"
    assert all(answer.status_code == 200 for answer in answers)
    assert ask(service, [config(played)], HELLO).json() == [row(0, 0, "at last")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"configs": 5}, "configs: expected array, got int"),
        ({"test_prompts": [{**HELLO, "user_message": 5}]}, "test_prompts[0].user_message: "),
        ({"test_prompts": [{**HELLO, "max_tokens": 0}]}, "test_prompts[0].max_tokens: "),
        ({"test_prompts": [{**HELLO, "images": ["%"]}]}, "test_prompts[0].images[0]: "),
        ({"configs": [{"host": "http://h", "model": "m", "key": "k"}]}, "provider: missing"),
        (
            {"configs": [{"host": "h", "provider": "chat", "model": "m", "key": "k"}]},
            "configs[0].provider: ",
        ),
        ({"test_prompts": [HELLO] * 257}, "configs: times test_prompts, more than 256 rows"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    service: RunningService, change: dict[str, Any], expected: str
) -> None:
    config = {"host": "http://h", "provider": "ollama", "model": "m", "key": ""}
    body = {"configs": [config], "test_prompts": [HELLO], **change}
    answer = service.http.post("/llm/check", json=body)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]


def test_nothing_to_ask(service: RunningService) -> None:
    assert ask(service, [], HELLO).json() == []

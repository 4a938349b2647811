"""The LLM module against servers that nobody here wrote: those of the package `fakellm`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt
from genvm_manager.protocol.module_frames import UserFault
from genvm_manager.workers.llm.check import check
from tests.support.llm_module import llm_module, run
from tests.support.providers import module_config
from tests.support.studio import free_port
from tests.support.waiting import wait_until

KINDS = ("openai-compatible", "anthropic")


def rule(name: str, needle: str, **respond: Any) -> dict[str, Any]:
    return {"name": name, "when": {"messages_contain": needle}, "respond": respond}


RULES = [
    rule("judge", "PRINCIPLE", content='{"reason": "alike", "result": true}'),
    rule("json", "coins", content='```json\n{"give_coin": false, "odds": 0.25}\n```'),
    rule("limited", "hurry", status=429, error="slow down"),
    rule("broken", "crash", status=500, error="out of order"),
    rule("text", "weather", content="sunny, 日本 🙂"),
]


@pytest.fixture(scope="module")
def fakellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server, with `RULES`."""
    rules: Path = tmp_path_factory.mktemp("fakellm") / "rules.yaml"
    rules.write_text(yaml.safe_dump({"rules": RULES}))
    port = free_port()
    command = [sys.executable, "-m", "fakellm.cli", "serve", "--port", str(port)]
    with (rules.parent / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--config", str(rules)], stdout=log, stderr=log)
    try:
        wait_until(lambda: is_up(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/_fakellm/stats").is_success
    except httpx.HTTPError:
        return False


def settings(host: str, kind: str) -> dict[str, Any]:
    model = {"supports_json": True, "supports_image": True}
    backend = {"host": host, "provider": kind, "key": "sk-any", "models": {"some-model": model}}
    return module_config({"one": backend})


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_and_judges(fakellm: str, kind: str) -> None:
    async def work() -> None:
        async with llm_module(settings(fakellm, kind)) as llm:
            assert await llm.prompt("the weather?") == "sunny, 日本 🙂"
            assert await llm.prompt("coins?", response_format="json") == {
                "give_coin": False,
                "odds": "0.25",
            }
            assert await llm.judge() is True
            image = b"\x89PNG\r\n\x1a\n"
            assert await llm.prompt("the weather here?", images=[image]) == "sunny, 日本 🙂"

    run(work())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("prompt", "status"), [("hurry", 429), ("crash", 500)])
def test_errors(fakellm: str, kind: str, prompt: str, status: int) -> None:
    async def work() -> None:
        async with llm_module(settings(fakellm, kind)) as llm:
            with pytest.raises(UserFault) as caught:
                await llm.prompt(prompt)
            assert caught.value.context["status"] == status

    run(work())


def test_a_check(fakellm: str) -> None:
    configs = [CheckConfig(fakellm, kind, "some-model", "sk-any") for kind in KINDS]  # type: ignore[arg-type]
    prompts = [CheckPrompt(None, text, 0.0, 50) for text in ("the weather?", "crash")]
    rows = run(check(configs, prompts))
    assert [row.response for row in rows] == ["sunny, 日本 🙂", None] * 2
    assert [row.error for row in rows] == [None, "HTTP 500: out of order"] * 2

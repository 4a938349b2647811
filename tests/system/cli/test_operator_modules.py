"""`genvm-manager module` and `llm` against a real service, and providers that are played."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.llm_check import MAX_CHECKS
from tests.support.operator import Operator
from tests.support.provider_formats import Asked
from tests.support.providers import Fail, Hang, PlayedProvider, Reply, Say, provider
from tests.support.service import RunningService

KEY = "sk-" + "k" * 20


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    settings = "{http_workers: 1, client_variables: [A_KEY, NOBODY_HAS_SET_THIS]}"
    with RunningService(config=settings) as running:
        yield running


@pytest.fixture(scope="module")
def operator(service: RunningService) -> Operator:
    return Operator(service)


@pytest.fixture(autouse=True)
def _stopped(service: RunningService) -> Iterator[None]:
    """Whatever a test has started."""
    yield
    service.client.stop_module(ModuleKind.LLM)


NO_KEYS = (
    "no usable LLM backend: set OPENAIKEY, ANTHROPICKEY, GEMINIKEY or OPENROUTERKEY "
    "(POST /env) and restart the module"
)


@pytest.fixture
def openai() -> Iterator[PlayedProvider]:
    with provider("openai-compatible", key=KEY) as played:
        yield played


# ---------------------------------------------------------------------------------------- module


def test_a_module_is_started_shown_restarted_and_stopped(operator: Operator) -> None:
    assert operator.types("module", "start", "LLM").stdout == f"llm runs: 2 workers; {NO_KEYS}\n"
    again = operator.types("module", "start", "llm", code=1)
    assert again.stderr == (
        "Error: llm is already running; to replace it: genvm-manager module restart llm\n"
    )
    head, *rows = operator.types("module", "status", "llm").stdout.splitlines()
    assert head.split()[:4] == ["MODULE", "STATE", "SINCE", "PID"]
    assert rows[0].split()[:2] == ["llm", "running"]
    assert len(rows) == 2, "a row for each worker"
    before = {worker["pid"] for worker in operator.reads("module", "status")["llm"]["workers"]}
    assert all(before & {int(word) for word in row.split() if word.isdigit()} for row in rows)
    assert operator.reads("module", "restart", "llm", "--allow-empty-backends") == {
        "result": "module_restarted"
    }
    after = operator.reads("module", "status", "llm")["llm"]
    assert not before & {worker["pid"] for worker in after["workers"]}
    assert f"llm running ({NO_KEYS})" in operator.types("status").stdout
    assert after["reason"] == NO_KEYS
    assert operator.types("module", "stop", "llm").stdout == "llm is stopped\n"
    assert operator.types("module", "stop", "llm").stdout == "llm was not running\n"
    assert operator.reads("module", "stop", "llm") == {"result": "module_not_running"}


@pytest.mark.parametrize("name", ["models.yaml", "models.json", "-"])
def test_its_settings_come_from_a_file(
    operator: Operator, openai: PlayedProvider, tmp_path: Path, name: str
) -> None:
    settings = {"workers": 1, "backends": {"mine": openai.backend()}}
    if name == "-":
        ended = operator.types(
            "module", "start", "llm", "--config", "-", stdin=json.dumps(settings)
        )
    else:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(settings) if "yaml" in name else json.dumps(settings))
        ended = operator.types("module", "start", "llm", "--config", str(path))
    assert ended.stdout == "llm runs: 1 worker\n"
    operator.types("module", "stop", "llm")


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        ("backends: [1", 64, "not YAML: expected ',' or ']'"),
        ("- 1", 64, "expected a map of keys, got list"),
        ("workers: 0", 64, "config: workers: expected 1 to 64"),
        (f"backends: {{mine: {{host: nowhere, provider: ollama, key: {KEY}}}}}", 64, "mine"),
        ("backends: {}", 1, "no usable LLM backend (the configuration names none)"),
        ("a: &a [*a]", 64, "an alias in it refers to what it stands in"),
        ("null: 1", 64, "cannot be sent as JSON"),
    ],
)  # fmt: skip
def test_bad_settings_are_named_and_start_nothing(
    operator: Operator, tmp_path: Path, content: str, code: int, reason: str
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    ended = operator.types("module", "start", "llm", "--config", str(path), code=code)
    assert reason in ended.stderr
    assert KEY not in ended.stderr
    assert operator.reads("module", "status")["llm"]["state"] == "stopped"


# ------------------------------------------------------------------------------------- llm check


def test_every_enabled_model_of_a_file_is_checked(
    operator: Operator, openai: PlayedProvider, tmp_path: Path
) -> None:
    backend = openai.backend()
    model = backend["models"]["test-model"]
    backend["models"] = {
        "good": model,
        "newer": model | {"use_max_completion_tokens": True, "max_tokens": 99},
        "off": model | {"enabled": False},
    }
    off = openai.backend() | {"enabled": False}
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"backends": {"mine": backend, "off": off}}))
    openai.by_default = lambda asked: Say(f"I am {asked.model}\nand well")
    text = operator.types("llm", "check", str(path)).stdout
    assert [" ".join(row.split()) for row in text.splitlines()] == [
        "BACKEND MODEL STATE ANSWER",
        "mine good answers I am good and well",
        "mine newer answers I am newer and well",
    ]
    openai.by_default = lambda asked: Say("ok") if asked.model == "good" else Fail(404, "no such")
    good, newer = operator.reads("llm", "check", str(path), code=1)
    assert (good["backend"], good["model"], good["available"]) == ("mine", "good", True)
    assert (newer["available"], newer["response"]) == (False, None)
    assert newer["error"] == "HTTP 404"
    assert KEY not in json.dumps([good, newer])


def test_models_that_are_asked_in_more_ways_than_checks_may_go_on(
    operator: Operator, openai: PlayedProvider, tmp_path: Path
) -> None:
    backend = openai.backend()
    names = [f"m{number}" for number in range(MAX_CHECKS + 2)]
    backend["models"] = {name: {"max_tokens": 50 + at} for at, name in enumerate(names)}
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"backends": {"mine": backend}}))
    hang = Hang()

    def reply(asked: Asked) -> Reply:
        if len(openai.asked) == MAX_CHECKS:
            hang.released.set()
        return hang

    openai.by_default = reply
    rows = operator.reads("llm", "check", str(path))
    assert [(row["model"], row["response"]) for row in rows] == [(n, "at last") for n in names]


def test_backends_without_a_key_are_no_failure_as_long_as_one_answers(
    operator: Operator, openai: PlayedProvider, tmp_path: Path
) -> None:
    keyless = openai.backend(key="${ENV[NOBODY_HAS_SET_THIS]}")
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"backends": {"mine": openai.backend(), "other": keyless}}))
    text = operator.types("llm", "check", str(path)).stdout
    assert "the variable NOBODY_HAS_SET_THIS is not set" in text
    path.write_text(yaml.safe_dump({"backends": {"other": keyless}}))
    operator.types("llm", "check", str(path), code=1)


def test_the_settings_in_force_are_checked_when_none_are_named(operator: Operator) -> None:
    rows = operator.reads("llm", "check", code=1)
    assert {"openai", "anthropic", "google"} <= {row["backend"] for row in rows}
    assert all("is not set" in row["error"] for row in rows)


def test_one_model_with_a_key_of_the_commands_or_the_services_environment(
    operator: Operator, openai: PlayedProvider
) -> None:
    one = ["llm", "check", "--provider", "openai-compatible", "--host", openai.host]
    one += ["--model", "m", "--key-env", "A_KEY", "--prompt", "Speak."]
    assert "A_KEY is not set" in operator.types(*one, code=1).stdout
    assert "fine" in operator.types(*one, environment={"A_KEY": KEY}).stdout
    assert openai.asked[-1].user == "Speak."
    operator.service.client.set_env("A_KEY", KEY)
    assert "fine" in operator.types(*one).stdout

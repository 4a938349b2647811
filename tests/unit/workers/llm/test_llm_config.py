"""The configuration of the LLM module."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.text.secret import Secret
from genvm_manager.workers.llm.config import (
    PROVIDERS,
    Backend,
    Dropped,
    Model,
    default_config,
    read_config,
)
from genvm_manager.workers.llm.providers import WIRE_FORMATS
from genvm_manager.workers.llm.templates import TemplateKind

KEY = "sk-secret-0123456789"


def config(**backend: Any) -> dict[str, Any]:
    """One backend, `openai`, with what is said changed; what is `...` is not there."""
    whole = {
        "host": "https://api.openai.com",
        "provider": "openai-compatible",
        "key": KEY,
        "models": {"gpt-4o": {"supports_json": True}},
        **backend,
    }
    return {"backends": {"openai": {k: v for k, v in whole.items() if v is not ...}}}


def test_each_provider_that_a_configuration_may_name_has_a_wire_format() -> None:
    assert set(PROVIDERS) == WIRE_FORMATS.keys()


def test_a_whole_one() -> None:
    models = {
        "a": {
            "supports_json": True,
            "supports_image": True,
            "use_max_completion_tokens": True,
            "timeout": "1.5m",
            "max_tokens": 9,
            "temperature": 0.5,
            "meta": {"priority": 2, "other": [1]},
        },
        "b": None,
        "c": {"enabled": False},
    }
    read = read_config({"timeout": "90s", **config(models=models, meta={"priority": 1})})
    assert read.dropped == []
    assert read.unknown_keys == []
    assert read.config.timeout == 90
    backend = read.config.backends["openai"]
    assert backend.key == Secret(KEY)
    assert set(backend.models) == {"a", "b"}
    assert backend.models["a"].seconds == 90
    assert backend.models["b"].seconds == 60
    assert backend.models["b"].max_tokens == 4096
    assert not backend.models["b"].supports_json


def test_the_default_is_whole_and_names_no_key() -> None:
    value = default_config()
    for name, backend in value["backends"].items():
        assert backend["key"].startswith("${ENV["), name
    filled = {**value, "backends": {n: {**b, "key": KEY} for n, b in value["backends"].items()}}
    read = read_config(filled)
    assert read.unknown_keys == []
    assert read.dropped == []
    assert list(read.config.backends) == ["openai", "anthropic", "google", "openrouter"]
    for kind in TemplateKind:
        template = read.config.templates.of(kind)
        assert "#{boundary}" in template.user
        if kind.is_judge:
            assert template.system is not None
            assert '{"reason": ' in template.system
            assert "Judge only by the" in template.system


def test_without_templates_ours_hold() -> None:
    templates = read_config(config()).config.templates
    assert templates == read_config(default_config()).config.templates
    own = {"eq_comparative": {"user": "#{leader_answer}#{validator_answer}#{principle} json"}}
    mixed = read_config({**config(), "prompt_templates": own}).config.templates
    assert mixed.eq_comparative.system is None
    assert mixed.eq_non_comparative_leader == templates.eq_non_comparative_leader


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"enabled": False}, "it is not enabled"),
        ({"models": {"m": {"enabled": False}}}, "it has no enabled model"),
        ({"models": None}, "it has no enabled model"),
        ({"models": ...}, "it has no enabled model"),
        ({"key": ""}, "its key is empty"),
        ({"key": " \n"}, "its key is empty"),
        ({"key": None}, "its key is empty"),
        ({"key": ...}, "its key is empty"),
    ],
)
def test_a_backend_that_cannot_be_asked_is_dropped(changed: dict[str, Any], reason: str) -> None:
    read = read_config(config(**changed))
    assert read.dropped == [Dropped("openai", reason)]
    assert read.config.backends == {}


def test_ollama_needs_no_key() -> None:
    read = read_config(config(provider="ollama", key=...))
    assert read.config.backends["openai"].key == Secret("")


def test_unknown_keys_are_named_once_each() -> None:
    value = {
        **config(colour="red", models={"m": {"size": 1, "supports_json": True}}),
        "lua_script_path": "x.lua",
        "vm_count": 10,
        "signer_url": None,
        "bind_address": None,
        "host": "localhost",
        "port": 8080,
        "workers": 2,
        "prompt_templates": {"other": {"user": "x"}},
    }
    assert read_config(value).unknown_keys == [
        "backends.openai.colour",
        "backends.openai.models.m.size",
        "lua_script_path",
        "prompt_templates.other",
        "signer_url",
        "vm_count",
    ]


def model(**fields: Any) -> dict[str, Any]:
    return config(models={"gpt-4o": fields})


def templates(**fields: Any) -> dict[str, Any]:
    return {**config(), "prompt_templates": {"eq_comparative": fields}}


PLACEHOLDERS = "#{leader_answer} #{validator_answer}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"backends": []}, "backends: expected a map, got list"),
        ({"backends": {"openai": 5}}, "backends.openai: expected a map, got int"),
        ({"backends": {5: {}}}, "backends: expected names that are text, got 5"),
        (config(host=...), "backends.openai.host: missing"),
        (config(host="api.openai.com"), "backends.openai.host: expected http://HOST or"),
        (config(host="ftp://api"), "backends.openai.host: expected http://HOST or"),
        (config(host="http://"), "backends.openai.host: expected http://HOST or"),
        (config(host="http://h:99999"), "backends.openai.host: expected http://HOST or"),
        (config(host="http://h h"), "backends.openai.host: expected http://HOST or"),
        (config(host=f"http://me:{KEY}@h"), "backends.openai.host: holds a user name or password"),
        (config(host="http://h/?a=1"), "backends.openai.host: must not have a query"),
        (config(provider="chat"), "backends.openai.provider: expected openai-compatible, "),
        (config(provider=...), "backends.openai.provider: missing"),
        (config(key=5), "backends.openai.key: expected secret, got int"),
        (config(key=KEY + "\n" + KEY), "backends.openai.key: holds a space or a character"),
        (config(key=KEY + "é"), "backends.openai.key: holds a space or a character"),
        (config(enabled="yes"), "backends.openai.enabled: expected bool, got str"),
        (config(models=[]), "backends.openai.models: expected a map, got list"),
        (config(meta={"priority": "x"}), "backends.openai.meta.priority: expected a number"),
        (config(meta={"priority": True}), "backends.openai.meta.priority: expected a number"),
        (config(meta={"priority": float("nan")}), "backends.openai.meta.priority: expected a"),
        (model(timeout="soon"), "backends.openai.models.gpt-4o.timeout: expected a duration"),
        (model(timeout=60), "backends.openai.models.gpt-4o.timeout: expected str, got int"),
        (model(timeout="0s"), "backends.openai.models.gpt-4o.timeout: expected more than 0"),
        (model(timeout="2h"), "backends.openai.models.gpt-4o.timeout: expected more than 0"),
        (model(max_tokens=0), "backends.openai.models.gpt-4o.max_tokens: expected int >= 1"),
        (model(temperature=9), "backends.openai.models.gpt-4o.temperature: expected float <= 2"),
        ({**config(), "timeout": "x"}, "timeout: expected a duration"),
        ({**config(), "timeout": 5}, "timeout: expected str, got int"),
        ({**config(), "prompt_templates": 5}, "prompt_templates: expected a map, got int"),
        (templates(system="s"), "prompt_templates.eq_comparative.user: missing"),
        (templates(user=PLACEHOLDERS), "prompt_templates.eq_comparative: lacks #{principle}"),
        (
            templates(user=PLACEHOLDERS, system="{principle}"),
            "prompt_templates.eq_comparative: lacks #{principle}",
        ),
    ],
)
def test_the_key_at_fault_is_named(value: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_config(value)
    assert caught.value.message.startswith(message)
    assert KEY not in caught.value.message


def names(kind: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


@pytest.mark.parametrize("around", ["{}", "x {}", "{}\n"])
def test_wherever_a_key_is_put_no_error_tells_it(around: str) -> None:
    key = around.format("sk-live-" + "0123456789abcdef" * 4)
    values: list[Any] = [{name: key} for name in ("timeout", "backends", "prompt_templates")]
    values += [{"backends": {"a": key}}, config(models={"m": key}), config(meta={"priority": key})]
    values += [config(**{name: key}) for name in names(Backend)]
    values += [model(**{name: key}) for name in names(Model)]
    values += [model(meta={"priority": key}), templates(user=key), templates(user=key, system=key)]
    for value in values:
        try:
            read_config(value)
        except BadRequest as error:
            assert "0123" not in error.message, value

"""What the supervisor reads of a module's configuration."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.supervisor.modules.rules_configuration import (
    MAX_SIZE,
    ModuleConfig,
    module_config,
    resolved,
    stands_alone,
)

ENVIRONMENT = {"A": "alpha", "KEY": "sk-1234567890"}


def read(value: Any) -> ModuleConfig:
    return module_config(value, ENVIRONMENT)


def settings(value: Any) -> Any:
    return msgspec.json.decode(read(value).settings)


def test_variables_are_filled_in_wherever_text_is() -> None:
    value = {"a": "x${ENV[A]}y${ENV[A]}", "b": [{"c": "${ENV[NONE]}"}], "d": 1, "e": None}
    assert settings(value) == {"a": "xalphayalpha", "b": [{"c": ""}], "d": 1, "e": None}


def test_what_a_variable_holds_is_not_looked_into() -> None:
    environment = {"A": "${ENV[B]}", "B": "b"}
    found = module_config({"a": "${ENV[A]}"}, environment)
    assert msgspec.json.decode(found.settings) == {"a": "${ENV[B]}"}


def test_variables_and_keys_are_secrets() -> None:
    found = read({"backends": {"x": {"key": "literal", "host": "${ENV[KEY]}", "other": "open"}}})
    assert found.secrets == ("literal", "sk-1234567890")
    assert "sk-" not in repr(found) and "literal" not in repr(found)


def test_the_rest_is_none_of_our_business() -> None:
    found = read({})
    assert (found.settings, found.workers, found.address, found.secrets) == (b"{}", 2, None, ())


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ({"bind_address": "127.0.0.1:3031"}, ("127.0.0.1", 3031)),
        ({"bind_address": "[::1]:80"}, ("::1", 80)),
        ({"bind_address": ":80"}, ("", 80)),
        ({"host": "localhost", "port": 8080}, ("localhost", 8080)),
        ({"bind_address": "a:1", "host": "b", "port": 2}, ("a", 1)),
    ],
)
def test_where_it_listens(value: Any, address: tuple[str, int]) -> None:
    assert read(value).address == address


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return {"a": value}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "config: expected a map, got list"),
        ({"workers": 0}, "config: workers: expected 1 to 64, got 0"),
        ({"workers": True}, "config: workers: expected 1 to 64, got True"),
        ({"workers": "2"}, "config: workers: expected 1 to 64, got '2'"),
        ({"bind_address": 3031}, "config: bind_address: expected HOST:PORT, got 3031"),
        ({"bind_address": "a:b"}, "config: bind_address: expected HOST:PORT, got 'a:b'"),
        (
            {"bind_address": "a:0"},
            "config: bind_address: expected a port from 1 to 65535, got 'a:0'",
        ),
        ({"host": "a"}, "config: port: expected a port from 1 to 65535, got nothing"),
        ({"port": 1}, "config: host: expected str beside port, got nothing"),
        (nested(40), "config: a: nests deeper than 32"),
        ({"a": "x" * MAX_SIZE}, "config: longer than"),
    ],
)
def test_what_is_wrong_is_named(value: Any, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(value)
    assert caught.value.message.startswith(text)


def test_a_text_with_a_variable_that_is_not_set() -> None:
    assert resolved("${ENV[A]}", ENVIRONMENT) == ("alpha", None)
    assert resolved("${ENV[NONE]}${ENV[A]}", ENVIRONMENT) == ("alpha", "NONE")


# ---------------------------------------------------------------------------------- laid over


DEFAULT = {
    "bind_address": "a:1",
    "workers": 3,
    "backends": {"x": {"key": "${ENV[NONE]}"}, "y": {"key": "${ENV[EMPTY]}${ENV[KEY]}"}},
}


@pytest.mark.parametrize(
    ("given", "address", "workers"),
    [
        ({}, ("a", 1), 3),
        ({"host": "b", "port": 2}, ("b", 2), 3),
        ({"bind_address": None}, None, 3),
        ({"workers": 5, "bind_address": "c:3"}, ("c", 3), 5),
    ],
)
def test_what_is_given_is_laid_over_the_default(
    given: dict[str, Any], address: tuple[str, int] | None, workers: int
) -> None:
    found = module_config(given, {**ENVIRONMENT, "EMPTY": ""}, DEFAULT)
    assert (found.address, found.workers) == (address, workers)
    assert found.unset_variables == {"backends.x.key": "NONE", "backends.y.key": "EMPTY"}
    assert found.awaits_keys


def test_backends_that_are_given_stand_alone() -> None:
    assert stands_alone(ModuleKind.LLM, {"backends": {}})
    for given in ({}, {"backends": None}, {"workers": 1}):
        assert not stands_alone(ModuleKind.LLM, given)
    assert not stands_alone(ModuleKind.WEB, {"backends": {}})
    assert not module_config({"backends": {"x": {}}}, {}).awaits_keys
    assert not module_config({}, {}, {"backends": {}}).awaits_keys


def test_variables_do_not_make_a_configuration_larger_than_one_may_be() -> None:
    """Each is long and named often: refused before that much text is made."""
    with pytest.raises(BadRequest, match=r"^config: longer than \d+ bytes with its variables"):
        module_config({"a": "${ENV[A]}" * 300_000}, {"A": "x" * 65_536})

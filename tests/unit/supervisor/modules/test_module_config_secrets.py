"""No error of a module's configuration tells a secret."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.supervisor.modules.configuration import ConfigurationFiles
from genvm_manager.supervisor.modules.rules_configuration import module_config

KEY = "sk-live-0123456789abcdef-0123456789abcdef-0123456789abcdef"
VARIABLES = {"KEY": KEY, "HOST": "localhost", "NUMBER": "5"}


def test_secrets_are_taken_out_of_what_is_said_of_it() -> None:
    config = module_config(
        {"a": "${ENV[HOST]}", "b": {"key": "of mine"}, "c": "${ENV[KEY]}${ENV[NUMBER]}"}, VARIABLES
    )
    assert config.hide(f"{KEY} at 5, localhost, of mine") == "*** at 5, ***, ***"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "config: expected a map, got list"),
        ({"workers": "${ENV[KEY]}"}, r"config: workers: expected 1 to 64, got '\${ENV\[KEY\]}'"),
        ({"workers": 65}, "config: workers: expected 1 to 64, got 65"),
        ({"bind_address": "${ENV[KEY]}"}, "config: bind_address: expected HOST:PORT, got '"),
        ({"bind_address": ":" + "9" * 5000}, "config: bind_address: expected HOST:PORT"),
        ({"bind_address": "x:0"}, "config: bind_address: expected a port from 1 to 65535"),
        ({"host": "x", "port": "${ENV[KEY]}"}, "config: port: expected a port from 1 to 65535"),
        ({"host": ["${ENV[KEY]}"]}, "config: host: expected str beside port"),
        ({"port": 5}, "config: host: expected str beside port, got nothing"),
    ],
)
def test_an_error_names_the_key_and_tells_no_variable(given: Any, text: str) -> None:
    with pytest.raises(BadRequest, match=text) as caught:
        module_config(given, VARIABLES)
    assert KEY[:12] not in caught.value.message


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f"backends:\n  a: {{key: {KEY}, host: x: y}}\n", ", at line 2, column "),
        (f"key: {KEY}\n\tother: 1\n", ", at line 2, column 1"),
        (f"key: '{KEY}\n", ", at line 2, column 1"),
        (f"key: *{KEY}\n", ", at line 1, column 6"),
        (f"key: !{KEY} x\n", ", at line 1, column 6"),
        ("[" * 5000, ""),
    ],
)
def test_a_file_that_is_no_yaml_says_where_and_not_what(
    tmp_path: Path, text: str, where: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "genvm-module-llm.yaml").write_text(text)
    with pytest.raises(RequestFailed, match=f"llm.yaml: not YAML{where}") as caught:
        asyncio.run(ConfigurationFiles([tmp_path / "config"]).read(ModuleKind.LLM))
    assert KEY[:12] not in caught.value.message

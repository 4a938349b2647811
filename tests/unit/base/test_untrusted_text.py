"""Bytes and texts that others wrote: a value or one kind of error, whatever is in them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from genvm_manager.base.errors import BadRequest, ManagerError, RequestFailed
from genvm_manager.base.files.state_folder import service_file
from genvm_manager.base.settings.config import Config, parse_config
from genvm_manager.base.text.yaml_text import Refused, load_yaml
from genvm_manager.base.validation import from_value
from genvm_manager.manager.cli.options.config_file import config_in
from genvm_manager.manager.launcher.service_file import find_service
from genvm_manager.protocol.ipc import codec
from genvm_manager.supervisor.settings.rules_manifest import CommandContext, parse_manifest

NO_SCALARS = [
    "2026-99-99",
    "2026-02-30T04:05:06Z",
    "9" * 5000,
    "0x_",
    "0b__",
    '"\\ud800"',
    "!!int none",
    "!!float none",
]


@pytest.mark.parametrize("text", NO_SCALARS, ids=lambda text: text[:12])
def test_a_yaml_scalar_that_is_none_is_an_error_with_its_place(text: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as raised:
        load_yaml(f"a: 1\nb: {text}\n")
    assert raised.value.problem_mark is not None
    assert raised.value.problem_mark.line == 1
    assert text not in str(raised.value).splitlines()[0]
    with pytest.raises(BadRequest, match="config: not YAML: "):
        parse_config(f"drain_timeout: {text}")
    with pytest.raises(ValueError, match=r"not YAML: .* in line 1"):
        config_in(f"a: {text}".encode())


@pytest.mark.parametrize("text", ["[" * 5000, "a: " * 5000, "\ud800", b"\xff\xfe\x00\xd8"])
def test_yaml_of_any_form_is_a_value_or_a_yaml_error(text: str | bytes) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


def test_as_texts_only_a_time_and_a_number_need_no_quotes() -> None:
    found = load_yaml("a: 2026-02-03T04:05:06Z\nb: 1:30\nc: [0x10, null]", only_texts=True)
    assert found == {"a": "2026-02-03T04:05:06Z", "b": "1:30", "c": ["0x10", "null"]}
    with pytest.raises(RequestFailed, match="manifest: not YAML"):
        parse_manifest('executor_versions: {"\\ud800": {}}', CommandContext("python", None, {}))


@pytest.mark.parametrize("body", [b"\x81\xa4type\xa3\xff\xfe\xfd", b"\x81\xa2\xcc\xcc\x01"])
def test_a_command_that_is_no_utf_8_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match="command: "):
        codec.decode_command(body)
    with pytest.raises(ManagerError, match="reply is not understood"):
        codec.decode_reply(body)


def test_half_of_a_surrogate_pair_as_a_key_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match=r"'\\ud83d' is half of a surrogate pair"):
        from_value({"\ud83d": 1}, Config)


def test_a_service_file_that_is_no_utf_8_names_no_service(tmp_path: Path) -> None:
    service_file(tmp_path).write_bytes(msgspec.json.encode({"url": "x"})[:-3] + b'\xff"}')
    assert find_service(tmp_path) is None


def aliases(first: str, later: str) -> str:
    """Each line stands for ten times the one before."""
    lines = [f"a0: &a0 {first}"]
    for number in range(9):
        repeated = ",".join([f"*a{number}"] * 10)
        lines.append(f"a{number + 1}: &a{number + 1} " + later.format(repeated))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (aliases("[x]", "[{}]"), "its aliases make more than"),
        (aliases("{x: 1}", "{{<<: [{}]}}"), "its aliases make more than"),
        (aliases("{x: 1}", "{{x: [{}]}}"), "its aliases make more than"),
        ("a: &a " + "x" * 100_000 + "\nb: [" + "*a," * 1_000 + "]", "its aliases make more than"),
        ("a: &a [*a]", "refers to what it stands in"),
        ("a: &a {b: [*a]}", "refers to what it stands in"),
        ("a: &a {<<: *a}", "refers to what it stands in"),
    ],
)
@pytest.mark.parametrize("only_texts", [False, True])
def test_yaml_whose_aliases_expand_without_end_is_refused_at_once(
    text: str, reason: str, only_texts: bool
) -> None:
    with pytest.raises(Refused, match=reason):
        load_yaml(text, only_texts=only_texts)
    with pytest.raises(ValueError, match=f"not YAML that is supported: .*{reason}"):
        config_in(text.encode())
    with pytest.raises(BadRequest, match=reason):
        parse_config(text)


def test_yaml_with_aliases_is_what_it_says() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 2}\nc: [*a, *a]"
    a = {"x": 1, "y": [1, 2]}
    assert load_yaml(text) == {"a": a, "b": {"x": 2, "y": [1, 2]}, "c": [a, a]}
    assert load_yaml("") is None
    assert load_yaml("# nothing") is None

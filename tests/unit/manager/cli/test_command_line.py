"""What the command line makes of figures, schemas and settings, without a service."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.text.printable import printable
from genvm_manager.manager.cli import main as program
from genvm_manager.manager.cli.commands.schema import lines_of
from genvm_manager.manager.cli.commands.top.cpu_usage import CpuUsage
from genvm_manager.manager.cli.llm_models import models_in
from genvm_manager.manager.cli.rendering.formatting import size, span


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (-3, "0ms"),
        (0.0484, "48ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m00s"),
        (3599.6, "1h00m"),
        (5 * 3600 + 61, "5h01m"),
        (86_400 * 3 + 3600, "3d01h"),
    ],
)
def test_spans_of_time(seconds: float | None, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (46 << 20, "46 MiB"),
        (1 << 31, "2.0 GiB"),
        (5 << 40, "5120 GiB"),
    ],
)
def test_sizes(count: int | None, shown: str) -> None:
    assert size(count) == shown


def test_nothing_steers_the_terminal() -> None:
    shown = printable("a\x1b[2J\r\x07\x9b1mb\tc\x7f")
    assert shown == r"a\x1b[2J\x0d\x07\x9b1mb" "\tc" r"\x7f"


def test_the_use_of_a_processor_is_that_of_the_last_seconds() -> None:
    usage = CpuUsage()
    assert usage.add(1, 100.0, 7.0) is None
    assert usage.add(1, 102.0, 8.0) == pytest.approx(0.5)
    for second in range(103, 120):
        last = usage.add(1, float(second), 8.0 + 2.0 * (second - 102))
    assert last == pytest.approx(2.0), "what was before is forgotten"
    usage.keep({2})
    assert usage.add(1, 121.0, 50.0) is None


def test_types_of_a_schema_are_written_as_python_writes_them() -> None:
    method = {
        "params": [["a", [{"$rep": {"$dict": "int"}}]], ["b", {"$or": ["address", "null"]}]],
        "kwparams": {"c": {"x": "int", "y": ["bool", "any"]}},
        "readonly": False,
        "payable": True,
        "ret": "null",
    }
    schema = {"ctor": {"params": [], "kwparams": {}}, "methods": {"m\x1b": method}}
    assert [click.unstyle(line) for line in lines_of(json.dumps(schema))] == [
        "deploy  __init__()",
        r"payable m\x1b(a: list[dict[string, int]], b: address | null, "
        "*, c: {x: int, y: tuple[bool, any]}) -> null",
    ]
    odd = {"methods": [1, "\u00e9"]}
    assert "\n".join(lines_of(json.dumps(odd))) == json.dumps(odd, indent=2, ensure_ascii=False)


def test_models_of_settings_that_are_enabled() -> None:
    off = {"enabled": False}
    models = {"a": {"temperature": 0.0, "max_tokens": 5}, "b": off, "c": {}}
    backend = {"host": "http://h", "provider": "ollama", "models": models, "unknown": 1}
    first, second = models_in({"backends": {"mine": backend, "other": backend | off}})
    assert (first.config.model, first.temperature, first.max_tokens) == ("a", 0.0, 5)
    assert (second.config.model, second.temperature, second.max_tokens) == ("c", 1.0, 4096)
    with pytest.raises(BadRequest, match="provider"):
        models_in({"backends": {"mine": backend | {"provider": "nobody"}}})


@pytest.mark.parametrize(
    "arguments",
    [["ps"], ["serve"], ["wait", "1"], ["module", "status", "llm"], ["--zz"], ["logs", "1"]],
)
def test_an_error_shows_what_was_typed_with_its_escapes(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = [*arguments, "\x1b[2J\n\u202ex"]
    monkeypatch.setattr("sys.argv", ["genvm-manager", *typed])
    told = CliRunner().invoke(program, typed).stderr
    assert "Error: " in told
    assert "\x1b" not in told and "\u202e" not in told

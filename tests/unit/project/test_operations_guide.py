"""The pages of docs/operations/index.md say what the code does."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import yaml

from genvm_manager.base.settings.config import Config, PermitCosts
from genvm_manager.manager.api.limits.concurrency import SPARE_THREADS, ConcurrencyLimits
from genvm_manager.manager.cli import COMMANDS
from genvm_manager.manager.cli import exit_codes as ending
from genvm_manager.manager.server.gunicorn_settings import SILENT_CONNECTIONS
from genvm_manager.workers.web.config import WebConfig
from tests.conftest import PROJECT

GUIDE = PROJECT / "docs" / "operations"
_ROW = re.compile(r"^\| `([a-z_.]+)` \| `([^`]*)` \| ([^|]*) \| ", re.MULTILINE)


def settings() -> dict[str, Any]:
    """Every key with its default, `permits` by its parts."""
    keys = json.loads(msgspec.json.encode(Config()))
    assert isinstance(keys, dict)
    parts = keys.pop("permits")
    assert {field.name for field in msgspec.structs.fields(PermitCosts)} == set(parts)
    return keys | {f"permits.{name}": value for name, value in parts.items()}


def rows(page: str) -> dict[str, Any]:
    """Keys and defaults in the tables of a page."""
    text = (GUIDE / page).read_text()
    return {key: yaml.safe_load(default) for key, default, _ in _ROW.findall(text)}


def test_every_setting_stands_there_with_its_default() -> None:
    assert rows("configure.md") == settings()


def test_so_does_every_setting_of_the_web_module() -> None:
    keys = json.loads(msgspec.json.encode(WebConfig()))
    assert rows("web-module.md") == keys | {"workers": 2, "bind_address": None}


def test_so_does_every_command_and_exit_code_of_the_command_line() -> None:
    page = (GUIDE / "command-line.md").read_text()
    table = "".join(line.partition(" | ")[0] for line in page.splitlines() if "| `" in line)
    assert {name for name in COMMANDS if name not in re.findall(r"[a-z-]+", table)} == set()
    codes = [value for name, value in vars(ending).items() if name.isupper() and type(value) is int]
    assert len(codes) >= 8
    listed = re.findall(r"\d+", "".join(re.findall(r"^\| [\d, ]+ \|", page, re.MULTILINE)))
    assert set(map(str, codes)) <= set(listed)


def test_the_web_modules_file_holds_every_setting_with_its_default() -> None:
    settings = yaml.safe_load((PROJECT / "workers/web/genvm-module-web.yaml").read_text())
    assert settings == rows("web-module.md")


def test_the_shares_are_those_of_the_code() -> None:
    page = (GUIDE / "overload.md").read_text()
    config = Config()
    shares = ConcurrencyLimits(config.http_threads)
    for share in (
        shares.readers,
        shares.starters,
        shares.enders,
        shares.transfers,
        shares.subscribers,
    ):
        row = f"| {share.places} | {share.places * config.http_workers} |"
        assert row in page
    assert f"| {SPARE_THREADS} more |" in page
    assert f"{shares.threads + SILENT_CONNECTIONS} connections in a worker" in page
    assert f"holds {shares.readers.places * config.http_workers} waiting readers" in page

"""A short part of `scripts/fuzz`, always with the same inputs, and what it found before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

PROJECT = Path(__file__).resolve().parents[3]
CORPUS = PROJECT / "tests" / "fuzz" / "corpus"
SEED = 4

BUDGETS = {
    "runner": 80,
    "zip": 80,
    "wasm": 60,
    "host-calls": 40,
    "http": 300,
    "ipc": 300,
    "calldata": 150,
    "module-frames": 1000,
    "settings": 300,
}
"""Inputs of each target: about five seconds of processor time."""


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_a_short_time(target: str, tmp_path: Path) -> None:
    options = [f"--inputs={BUDGETS[target]}", f"--seed={SEED}", f"--findings={tmp_path}"]
    ended = fuzz(target, *options, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (found,) = json.loads(ended.stdout)
    assert found["findings_by_kind"] == {}
    assert found["inputs"] == BUDGETS[target]
    assert len(found["outcomes"]) > 3, "the inputs get further than the first check"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("target", sorted(path.name for path in CORPUS.iterdir()))
def test_what_was_found_before_is_mended(target: str) -> None:
    paths = sorted(str(path) for path in (CORPUS / target).iterdir())
    ended = fuzz(target, "--replay", *paths)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("s of processor time") == len(paths)


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("--seconds=none",), ("--replay", "x"), ("http", "--sed=1")]
)
def test_a_wrong_command_line_is_said(arguments: tuple[str, ...]) -> None:
    ended = fuzz(*arguments)
    assert ended.returncode == 2
    assert arguments[-1].partition("=")[0] in ended.stderr or "--replay" in ended.stderr

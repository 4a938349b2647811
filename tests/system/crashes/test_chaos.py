"""A minute of `scripts/chaos`: every rule of its oracle holds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
SEED = 4
SECONDS = 60


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_minute_of_chaos_leaves_nothing_lost_and_nothing_behind() -> None:
    command = [str(PROJECT / "scripts" / "chaos"), f"--seconds={SECONDS}", f"--seed={SEED}"]
    ended = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(ended.stdout)
    assert found["violations"] == []
    # On a quiet machine it is twenty times as many.
    assert found["runs"]["acknowledged"] > SECONDS / 6
    assert found["counts"]["tokens used at the end"] > 0
    assert sum(found["faults"].values()) > 2
    assert len(found["runs"]["by_ending"]) > 2


@pytest.mark.parametrize("option", ["--seconds=none", "--seed=none", "--sed=1"])
def test_a_wrong_command_line_is_said(option: str) -> None:
    command = [str(PROJECT / "scripts" / "chaos"), option]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert option.partition("=")[0] in ended.stderr

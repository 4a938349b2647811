"""A clone by a git that turns LF into CR LF, as on Windows and in folders shared with it, works."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.support.waiting import TIMEOUT

DEADLINE = TIMEOUT


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the libraries of this checkout in its `.venv`, as `scripts/run` would install them."""
    if not (PROJECT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no checkout of git")
    clone = tmp_path_factory.mktemp("clone") / "project"
    options = ["-c", "core.autocrlf=true", "-c", f"safe.directory={PROJECT}", "clone", "--quiet"]
    subprocess.run(["git", *options, PROJECT, clone], check=True, timeout=DEADLINE)
    (clone / ".venv").mkdir()
    (clone / ".venv" / "bin").symlink_to(PROJECT / ".venv" / "bin")
    stamp = "(pwd; sha256sum requirements.lock setup.cfg pyproject.toml)"
    script = f"{stamp} > .venv/installed-requirements.lock"
    subprocess.run(["sh", "-c", script], cwd=clone, check=True, timeout=DEADLINE)
    return clone


def tracked(clone: Path) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=clone, capture_output=True, check=True, timeout=DEADLINE
    )
    return [clone / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]


def test_no_file_has_other_ends_of_lines(clone: Path) -> None:
    assert len(tracked(clone)) > 500
    bytes_as_they_are = clone / "tests" / "fuzz" / "corpus"
    for path in tracked(clone):
        if path.is_relative_to(bytes_as_they_are):
            assert path.read_bytes() == (PROJECT / path.relative_to(clone)).read_bytes(), path
        else:
            assert b"\r\n" not in path.read_bytes(), path


def test_every_script_is_one(clone: Path) -> None:
    scripts = [path for path in tracked(clone) if path.read_bytes().startswith(b"#!/bin/sh\n")]
    scripts += (clone / "scripts").glob("*.sh")
    assert {"run", "install", "test", "genvm-modules", "environment.sh"} <= {
        path.name for path in scripts
    }
    for path in scripts:
        subprocess.run(["sh", "-n", path], check=True, timeout=DEADLINE)


def test_it_runs_the_demonstration(clone: Path) -> None:
    ended = subprocess.run(
        [clone / "scripts" / "run", "--demo"],
        env={**os.environ, "PYTHONPATH": str(clone)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended
    assert "Traceback" not in ended.stderr

"""Names that are not UTF-8 are refused in one sentence, wherever they come from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.service import GENVM_MANAGER, PROJECT


def ended(command: Sequence[str | bytes], home: bytes, cwd: Path) -> tuple[int, str]:
    done = subprocess.run(
        command,
        capture_output=True,
        env={b"PATH": b"/usr/bin:/bin", b"HOME": home, b"PYTHONPATH": bytes(PROJECT)},
        cwd=cwd,
        timeout=60,
        check=False,
    )
    said = done.stderr.decode("utf-8", "replace")
    assert "Traceback" not in said
    return done.returncode, said


@pytest.fixture
def strange(tmp_path: Path) -> bytes:
    """A folder whose name is Latin-1."""
    folder = bytes(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    return folder


COMMANDS = ["serve --port 0 --no-precompile", "status", "doctor --quick", "permits", "logs 1"]


@pytest.mark.parametrize("command_line", COMMANDS)
def test_a_named_state_folder_that_is_no_text_is_refused(
    strange: bytes, tmp_path: Path, command_line: str
) -> None:
    command: list[str | bytes] = [GENVM_MANAGER, *command_line.split()]
    command += [b"--state-dir", strange]
    code, said = ended(command, bytes(tmp_path), tmp_path)
    assert code == 64
    assert said.splitlines() == [
        f"Error: the argument {strange!r} is not UTF-8; rename what it names"
    ]
    assert os.listdir(strange) == []


@pytest.mark.parametrize(("command_line", "expected"), [("serve --port 0", 1), ("status", 64)])
def test_the_usual_state_folder_may_be_no_text_either(
    strange: bytes, tmp_path: Path, command_line: str, expected: int
) -> None:
    code, said = ended([GENVM_MANAGER, *command_line.split()], strange, tmp_path)
    assert code == expected
    assert "its name is not UTF-8; rename it or name another one" in said.splitlines()[-1]
    assert os.listdir(strange) == []


def test_a_folder_that_the_command_is_in_may_be_no_text(strange: bytes, tmp_path: Path) -> None:
    command = [GENVM_MANAGER, "serve", "--port", "0", "--state-dir", "state"]
    code, said = ended(command, bytes(tmp_path), Path(os.fsdecode(strange)))
    assert code == 1
    assert "its name is not UTF-8; rename it or name another one" in said


def test_a_supervisor_alone_refuses_it_too(strange: bytes, tmp_path: Path) -> None:
    command: list[str | bytes] = [sys.executable, "-P", "-m", "genvm_manager.supervisor"]
    command += ["--state-dir", strange]
    code, said = ended(command, bytes(tmp_path), tmp_path)
    assert code == 1
    assert said == "genvm-manager supervisor: --state-dir: its name is not UTF-8\n"

"""`scripts/environment.sh` on machines that lack something; the lacking is played by programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.service import PROJECT
from tests.support.waiting import TIMEOUT

PYTHON = """#!/bin/sh
case "$2" in
    *ensurepip*) [ -e "$FOLDER/venv-is-there" ] ;;
    *version_info\\ \\<*) [ "$VERSION" != old ] ;;
    *) echo python3.11-venv ;;
esac
"""
APT_GET = """#!/bin/sh
echo "apt-get $*"
case "$*" in *install*) : >"$FOLDER/venv-is-there" ;; esac
"""
ID = """#!/bin/sh
echo "$USER_ID"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for name, text in {"python3": PYTHON, "apt-get": APT_GET, "id": ID}.items():
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o755)
    return tmp_path


def run(machine: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-euc", f". {PROJECT}/scripts/environment.sh\n{script}"],
        env={"PATH": f"{machine}:/usr/bin:/bin", "FOLDER": str(machine), **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_root_gets_what_debian_ships_apart(machine: Path) -> None:
    first = run(machine, "have_venv_module python3", USER_ID="0")
    assert first.returncode == 0
    assert "apt-get -qq install --yes --no-install-recommends python3.11-venv" in first.stderr
    again = run(machine, "have_venv_module python3", USER_ID="0")
    assert (again.returncode, again.stderr) == (0, "")


def test_others_are_told_what_to_install(machine: Path) -> None:
    said = run(machine, "have_venv_module python3", USER_ID="1000")
    assert said.returncode == 1
    assert "apt-get install python3.11-venv" in said.stderr
    assert not (machine / "venv-is-there").exists()


def test_an_old_python_is_passed_over(machine: Path) -> None:
    (machine / "python3.14").write_text("#!/bin/sh\nexit 0\n")
    (machine / "python3.14").chmod(0o755)
    assert run(machine, "find_python").stdout == "python3\n"
    assert run(machine, "find_python", VERSION="old").stdout == "python3.14\n"
    none = run(machine, "find_python", PYTHON="absent", VERSION="old")
    assert none.returncode == 1
    assert "Python 3.11 or newer is needed" in none.stderr

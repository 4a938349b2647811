"""The files in `systemd/`: well formed, and at one with the code that relies on them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genvm_manager.base.process.killing import KILL_TIMEOUT
from genvm_manager.base.settings.config import Config
from genvm_manager.manager.launcher.system_service import SOCKET, STATE_FOLDER, TOKEN_FILE
from genvm_manager.manager.server.gunicorn_settings import gunicorn_settings
from genvm_manager.supervisor.process import heartbeat, shim
from tests.conftest import PROJECT
from tests.support.waiting import TIMEOUT

UNITS = sorted((PROJECT / "systemd").glob("genvm-*"))
PYTHON = "/opt/genvm-manager/current/bin/python"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


def settings(name: str) -> list[tuple[str, str]]:
    """All settings of a unit, in order."""
    lines = (PROJECT / "systemd" / name).read_text().splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return [(key, value) for key, _, value in pairs]


def seconds(unit: str, name: str) -> float:
    (value,) = [value for key, value in settings(unit) if key == name]
    return float(value)


def analyzed(*arguments: str) -> str:
    """What systemd-analyze says, which must be content."""
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units as files whose program is there."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PYTHON, sys.executable))
    return [str(tmp_path / unit.name) for unit in UNITS]


@needs_systemd
def test_systemd_understands_every_line(units: list[str]) -> None:
    assert analyzed("verify", *units) == ""


@needs_systemd
def test_the_guide_has_the_scores(units: list[str]) -> None:
    if not analyzed("--version").startswith("systemd 252 "):
        pytest.skip("the guide has the scores of Debian 12's systemd")
    guide = (PROJECT / "docs/operations/systemd.md").read_text()
    for unit in units:
        if unit.endswith(".service"):
            said = analyzed("security", "--offline=true", "--no-pager", unit)
            (score,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said)
            assert f"| `{Path(unit).name}` | {score} |" in guide


def test_commands_know_where_the_socket_and_the_token_are() -> None:
    listens = [value for key, value in settings("genvm-manager.socket") if key == "ListenStream"]
    assert listens == [Config().bind_address, str(SOCKET)]
    assert str(TOKEN_FILE) in (PROJECT / "systemd/tmpfiles.d/genvm-manager.conf").read_text()
    script = (PROJECT / "scripts/system.sh").read_text()
    assert f"settings={TOKEN_FILE.parent}\n" in script
    assert f"state={STATE_FOLDER}\n" in script


def test_systemd_waits_as_long_as_it_may_take() -> None:
    supervisor = "genvm-supervisor.service"
    assert seconds(supervisor, "WatchdogSec") >= 3 * heartbeat.PERIOD
    assert seconds(supervisor, "TimeoutAbortSec") > KILL_TIMEOUT + shim.ABORT_TIMEOUT
    assert seconds(supervisor, "TimeoutStopSec") > heartbeat.STOP_TIMEOUT
    http = gunicorn_settings(Config(), [], Path("/"))
    assert seconds("genvm-manager.service", "TimeoutStopSec") > http["graceful_timeout"]

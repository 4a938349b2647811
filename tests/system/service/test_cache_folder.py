"""Where compiled contracts are kept: one folder, for the service and for all that it starts."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from genvm_manager.manager.launcher.service_file import find_service
from tests.support.service import GENVM_MANAGER, RunningService
from tests.support.waiting import TIMEOUT, wait_until
from tests.support.wat import returns

SCHEMA: dict[str, Any] = {"ctor": {"params": [], "kwparams": {}}, "methods": {}}
WASM = returns(json.dumps(SCHEMA))
NOBODY_S = 1_000_660_000
"""A user of whom the system has no record, as OpenShift gives one."""


def read_schema(url: str) -> None:
    """Have the service run a contract that has to be compiled."""
    answer = httpx.post(
        f"{url}/genvm/run/readonly",
        content=WASM,
        headers={"Deployment-Timestamp": "2026-02-03T04:05:06Z"},
        timeout=TIMEOUT,
    )
    assert answer.status_code == 200, answer.text


def compiled(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("contracts/*.stamp")]


@pytest.mark.parametrize("name", ["GENVM_CACHE_DIR", "XDG_CACHE_HOME"])
def test_runs_use_the_folder_that_the_service_was_told(tmp_path: Path, name: str) -> None:
    folder = tmp_path if name == "GENVM_CACHE_DIR" else tmp_path / "genvm-manager"
    variables = {name: str(tmp_path)}
    with RunningService("--no-precompile", executor=None, environment=variables) as service:
        read_schema(service.url)
        assert f"folder={folder} " in service.log
    assert len(compiled(folder)) == 1


def test_doctor_looks_at_the_folder_that_runs_use(tmp_path: Path) -> None:
    spoilt = tmp_path / "file"
    spoilt.write_bytes(b"")
    state = tmp_path / "state"
    ended = subprocess.run(
        [GENVM_MANAGER, "doctor", "--quick", "--json", "--state-dir", str(state)],
        env={**os.environ, "GENVM_CACHE_DIR": str(spoilt)},
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    results = {each["topic"]: each for each in json.loads(ended.stdout)["findings"]}
    assert results["cache"]["verdict"] == "warning"
    assert results["cache"]["says"] == (
        f"compiled contracts are kept in {state / 'cache'}, since nothing can be kept in {spoilt} "
        "(it is not a folder)"
    )
    assert not state.exists()


class HomelessUser:
    """Runs commands as a user without a name or a home, who may read this Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, *arguments: str, **variables: str) -> list[str]:
        """In a mount namespace of its own, where nobody is kept from the interpreter."""
        prefix = Path(sys.base_prefix)
        closed = [each for each in prefix.parents if not each.stat().st_mode & 0o001]
        opened = ":"
        if closed:
            here = self.folder / "python"
            here.mkdir(exist_ok=True)
            opened = (
                f"mount --bind {prefix} {here} && mount -t tmpfs -o mode=755 none {closed[-1]}"
                f" && mkdir -p {prefix} && mount --bind {here} {prefix}"
            )
        given = [f"{name}={value}" for name, value in variables.items()]
        own = f"setpriv --reuid {NOBODY_S} --regid 0 --clear-groups"
        plain = f"env -i PATH={os.environ['PATH']} {shlex.join(given)}"
        script = f'cd / && {opened} && exec {own} {plain} "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *arguments]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, **variables),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )


@pytest.fixture
def homeless() -> Iterator[HomelessUser]:
    folder = Path(tempfile.mkdtemp(prefix="genvm-test-"))
    folder.chmod(0o755)
    (folder / "own").mkdir(mode=0o770)
    os.chown(folder / "own", NOBODY_S, 0)
    try:
        yield HomelessUser(folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def serving(homeless: HomelessUser, state: Path, **variables: str) -> Iterator[str]:
    """The service as a user without a home starts it; gives its URL. Its log is at `state`.log."""
    log = state.with_suffix(".log")
    arguments = [GENVM_MANAGER, "serve", "--port=0", "--no-precompile", f"--state-dir={state}"]
    with log.open("w") as output:
        process = subprocess.Popen(homeless.command(*arguments, **variables), stderr=output)
    try:
        wait_until(lambda: find_service(state) is not None or process.poll() is not None, TIMEOUT)
        url = find_service(state)
        assert url is not None, log.read_text()
        yield url
    finally:
        process.terminate()
        process.wait(TIMEOUT)


@pytest.mark.parametrize("variables", [{}, {"HOME": "/"}, {"HOME": "/proc/nowhere"}])
def test_without_a_home_contracts_are_kept_in_the_state_folder(
    homeless: HomelessUser, variables: dict[str, str]
) -> None:
    state = homeless.folder / "own" / "state"
    with serving(homeless, state, **variables) as url:
        read_schema(url)
    log = state.with_suffix(".log").read_text()
    assert f"compiled contracts are kept in {state / 'cache'}, since " in log
    assert "Traceback" not in log
    assert len(compiled(state / "cache")) == 1


@pytest.mark.parametrize("variables", [{}, {"HOME": "/"}])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["serve"], None),
        (["status"], None),
        (["doctor", "--quick"], None),
        (["run", "/nowhere.py"], None),
    ],
)
def test_without_a_home_commands_say_what_to_do(
    homeless: HomelessUser, variables: dict[str, str], arguments: list[str], code: int | None
) -> None:
    ended = homeless.run(GENVM_MANAGER, *arguments, **variables)
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said
    assert "the check failed" not in said
    assert "install again" not in said
    if code is not None:
        assert ended.returncode == code
    elif not variables and arguments[0] != "run":
        assert "HOME is not set and this user has no home: name one by --state-dir" in said


def test_without_a_home_the_executor_s_own_check_works(homeless: HomelessUser) -> None:
    for variables in ({}, {"HOME": "/"}, {"TMPDIR": "/proc"}):
        python = [sys.executable, "-P", "-m", "genvm_manager.workers.genvm", "check"]
        ended = homeless.run(*python, **variables)
        assert ended.returncode == 0, ended
        assert "Traceback" not in ended.stderr
        assert "ok       CPython 3.12 for WASI: file present" in ended.stdout

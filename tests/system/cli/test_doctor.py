"""`genvm-manager doctor`: well, and with each point failing that a test can make fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.manager.launcher.private_service import private_service
from tests.support.service import GENVM_MANAGER, processes_of
from tests.support.waiting import TIMEOUT, wait_until

CheckResults = dict[str, list[dict[str, Any]]]
"""By topic."""


def doctor(
    *arguments: str, code: int, environment: Mapping[str, str] | None = None
) -> CheckResults:
    """What it finds; it exits with this code."""
    ended = subprocess.run(
        [GENVM_MANAGER, "doctor", "--json", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == code, ended
    found = json.loads(ended.stdout)
    statuses = {result["verdict"] for result in found["findings"]}
    assert found["verdict"] == max(statuses, key=["ok", "warning", "failure"].index)
    results: CheckResults = {}
    for result in found["findings"]:
        assert (result["do"] is None) == (result["verdict"] == "ok"), result
        results.setdefault(result["topic"], []).append(result)
    return results


def failing(results: CheckResults, status: str = "failure") -> dict[str, str]:
    """What is said of the topics with this status."""
    return {
        topic: "; ".join(each["says"] for each in found if each["verdict"] == status)
        for topic, found in results.items()
        if status in [each["verdict"] for each in found]
    }


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    executor = [sys.executable, "-m", "genvm_manager.workers.genvm"]
    subprocess.run([*executor, "check", "--precompile"], check=True, capture_output=True)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


def test_all_is_well_on_a_private_service_and_nothing_is_left(state: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="genvm-test-") as scratch:
        Path(scratch).chmod(0o711)  # so that the browser's user comes to its profile
        found = doctor("--state-dir", str(state), code=0, environment={"TMPDIR": scratch})
        assert list(Path(scratch).iterdir()) == []
        wait_until(lambda: not processes_of(Path(scratch)))
    assert set(found) == {
        "versions", "clock", "disk", "limits", "memory", "settings", "token", "state folder",
        "cache", "names", "executors", "embeddings", "browser", "service", "trial run",
    }  # fmt: skip
    assert found["service"][0]["says"] == "no service runs here now"
    assert "deployed, called and read" in found["trial run"][0]["says"]
    assert found["trial run"][0]["says"].endswith("on a private service")
    assert found["executors"][0]["says"] == "v0.2.0 starts and is whole"
    assert list(state.iterdir()) == []


def test_all_is_well_on_the_running_service(state: Path) -> None:
    with private_service(state) as service:
        found = doctor("--state-dir", str(state), code=0)
    assert found["service"][0]["says"] == f"{service.address} takes runs"
    assert found["trial run"][0]["says"].endswith(f"on {service.address}")


def test_people_read_a_line_for_each_point_and_a_conclusion(state: Path) -> None:
    state.chmod(0o755)
    ended = subprocess.run(
        [GENVM_MANAGER, "doctor", "--quick", "--state-dir", str(state)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert f"warn  state folder  {state}: other users may read it" in lines
    assert f"                    → chmod 700 {state}" in lines
    assert lines[0].startswith("ok    versions      genvm-manager ")
    assert lines[-1].startswith("0 failures, ")
    assert not any("trial run" in line or "browser" in line for line in lines)


def test_what_is_wrong_with_files_is_named(tmp_path: Path, state: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 40)
    token.chmod(0o644)
    config = tmp_path / "settings.yaml"
    config.write_text("http_workers: none\n")
    options = ("--quick", "--state-dir", str(state), "--config", str(config))
    found = failing(doctor(*options, "--token-file", str(token), code=1))
    assert f"{config}: http_workers: expected int" in found["settings"]
    assert "others may read it" in found["token"]

    config.write_text('{colour: red, bind_address: "0.0.0.0:80", permits: {total: 900000}}')
    warned = failing(doctor(*options, code=0), "warning")
    assert "unknown keys: colour" in warned["settings"]
    assert "can be reached from other machines" in warned["token"]
    assert "900000 permits stand for" in warned["memory"]


def test_what_is_wrong_with_the_state_folder_is_named(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    assert (
        "too long for a Unix socket"
        in failing(doctor("--quick", "--state-dir", str(long), code=1))["state folder"]
    )
    absent = tmp_path / "not" / "yet"
    found = doctor("--quick", "--state-dir", str(absent), code=0)
    assert found["state folder"][0]["says"] == f"{absent} will be created when the service starts"
    assert not absent.exists()


def test_what_is_wrong_with_executors_is_named(tmp_path: Path, state: Path) -> None:
    root = tmp_path / "root"
    subprocess.run([GENVM_MANAGER, "install-root", str(root)], check=True, capture_output=True)
    (root / "executor" / "v0.2.0" / "bin" / "genvm").write_text("#!/bin/sh\necho broken; exit 3\n")
    manifest = root / "data" / "manifest.yaml"
    manifest.write_text(
        manifest.read_text() + '  v0.3.0: {available_after: "2025-01-01T00:00:00Z"}\n'
    )
    (root / "config" / "genvm-module-llm.yaml").write_text(
        "backends: {mine: {host: http://h, provider: ollama, key: secret, models: {m: {}}}}"
    )
    (root / "config" / "genvm-module-web.yaml").write_text("browser_path: /nonexistent")
    found = doctor("--state-dir", str(state), "--root", str(root), code=1)
    said = failing(found)
    assert "v0.2.0: its check ended with 3: broken" in said["executors"]
    assert "v0.3.0: " in said["executors"]
    assert "No such file" in said["executors"]
    assert said["trial run"]
    warned = failing(found, "warning")
    assert "holds keys, and other users may read it" in warned["settings"]
    assert "secret" not in json.dumps(found)
    assert "/nonexistent is not a program" in warned["browser"]
    manifest.write_text("executor_versions: []")
    said = failing(doctor("--quick", "--state-dir", str(state), "--root", str(root), code=1))
    assert "manifest: executor_versions: expected object" in said["executors"]


def test_a_tree_of_an_earlier_version_is_named_with_the_next_step(
    tmp_path: Path, state: Path
) -> None:
    root = tmp_path / "root"
    subprocess.run([GENVM_MANAGER, "install-root", str(root)], check=True, capture_output=True)
    program = root / "executor" / "v0.2.0" / "bin" / "genvm"
    program.write_text(program.read_text().replace("genvm_manager.workers", "workers"))
    found = doctor("--quick", "--state-dir", str(state), "--root", str(root), code=1)
    sentence = f"{program}: `-m workers.genvm` is now `-m genvm_manager.workers.genvm`"
    step = "change it there, or remove it and run genvm-manager install-root"
    assert failing(found) == {
        "names": sentence,
        "executors": f"manifest: v0.2.0: {sentence}; {step} again",
    }
    assert found["names"][-1]["do"] == f"{step} {root} again"


def test_an_executor_that_is_not_compiled_is_a_warning(state: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    found = doctor("--quick", "--state-dir", str(state), code=0, environment=environment)
    warned = failing(found, "warning")
    assert "not all is compiled yet" in warned["executors"]
    assert found["executors"][0]["do"].endswith("-m genvm_manager.workers.genvm check --precompile")


def test_limits_that_are_too_low_are_named(state: Path) -> None:
    command = f"ulimit -n 300; exec {GENVM_MANAGER} doctor --quick --json --state-dir {state}"
    ended = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    assert ended.returncode == 0
    (found,) = [f for f in json.loads(ended.stdout)["findings"] if f["topic"] == "limits"]
    assert found["verdict"] == "warning"
    assert "300 descriptors" in found["says"]

"""The service file by which commands find a service, whatever has become of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from genvm_manager.base.files.state_folder import service_file
from genvm_manager.manager.launcher.service_file import (
    ServiceFile,
    ensure_service_file,
    find_service_file,
    service_file_fault,
    write_service_file,
)
from tests.support.service import GENVM_MANAGER
from tests.support.waiting import TIMEOUT

NOWHERE = "http://127.0.0.1:9"


def own_file(folder: Path) -> ServiceFile:
    return ServiceFile.of_this_process(folder, [NOWHERE], None, None)


def status(folder: Path | None, home: Path) -> subprocess.CompletedProcess[str]:
    named = ["--state-dir", str(folder)] if folder else []
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "XDG_STATE_HOME": str(home)}
    return subprocess.run(
        [GENVM_MANAGER, "status", *named],
        capture_output=True,
        text=True,
        env=environment,
        timeout=TIMEOUT,
        check=False,
    )


def test_a_service_file_names_its_process_whatever_the_clock_says(tmp_path: Path) -> None:
    write_service_file(tmp_path, own_file(tmp_path))
    found = find_service_file(tmp_path)
    assert found is not None
    assert found.address == NOWHERE
    # Nothing in it moves with the wall clock.
    stat = Path(f"/proc/{os.getpid()}/stat").read_text()
    assert found.start_ticks == int(stat.rpartition(")")[2].split()[19])
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_ticks": 1}, "the service with pid {pid} has ended"),
        ({"boot_id": "another"}, "the service with pid {pid} has ended"),
        ({"boot_id": "another", "pid_namespace": 1}, "the service with pid {pid} has ended"),
        ({"pid_namespace": 1}, "the service with pid {pid} is in another PID namespace, as a"),
        ({"state_folder": "/elsewhere"}, "it was written in /elsewhere, of which this folder is"),
    ],
)
def test_a_service_file_of_another_process_boot_or_folder_names_nobody(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write_service_file(tmp_path, msgspec.structs.replace(own_file(tmp_path), **changes))
    assert find_service_file(tmp_path) is None
    message = message.format(pid=os.getpid())
    assert message in str(service_file_fault(tmp_path))
    ended = status(tmp_path, tmp_path)
    assert ended.returncode == 69
    expected = f"no service runs on {tmp_path}: its service.json is not usable, {message}"
    assert expected in ended.stderr


def test_an_unreadable_service_file_is_said_and_no_other_service_is_asked(
    tmp_path: Path,
) -> None:
    """As an earlier version has left it, whose service may well run."""
    usual = tmp_path / "genvm-manager"
    usual.mkdir()
    old = {"url": NOWHERE, "socket": None, "pid": os.getpid(), "created": 1.5, "state_folder": "/x"}
    service_file(usual).write_bytes(msgspec.json.encode(old))
    for folder in (usual, None):
        ended = status(folder, tmp_path)
        assert ended.returncode == 69, ended
        assert "its service.json is not usable, it was written by another version" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_service_file_in_a_copy_of_the_folder_names_nobody(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    write_service_file(original, own_file(original))
    shutil.copytree(original, tmp_path / "copy")
    assert find_service_file(original) is not None
    assert find_service_file(tmp_path / "copy") is None


def test_a_fifo_in_place_of_the_service_file_holds_up_no_command(tmp_path: Path) -> None:
    os.mkfifo(service_file(tmp_path))
    assert find_service_file(tmp_path) is None
    ended = status(tmp_path, tmp_path)
    assert ended.returncode == 69
    assert "its service.json is not usable" in ended.stderr
    assert ensure_service_file(tmp_path, own_file(tmp_path))
    assert find_service_file(tmp_path) == own_file(tmp_path)

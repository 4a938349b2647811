"""What lies in the state folder, and the folder itself, vanishes while the supervisor runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.files.state_folder import (
    last_run_id,
    run_scratch,
    run_store,
    supervisor_lock,
    supervisor_socket,
)
from genvm_manager.protocol.ipc.runs import Cause
from tests.support.supervisor import Client, RunningSupervisor
from tests.support.waiting import TIMEOUT, wait_until

NOTICED = 5.0
"""Seconds, on a busy machine; it takes half a second on a quiet one."""


@pytest.fixture
def supervisor() -> Iterator[RunningSupervisor]:
    with RunningSupervisor() as running:
        yield running


def is_clear(client: Client) -> bool:
    status = client.status()
    return status.refusal is None and not status.audit


def made_again(supervisor: RunningSupervisor, name: str) -> bool:
    return f"state_file_made_again name={name}" in supervisor.log


def second_start(supervisor: RunningSupervisor) -> int:
    return supervisor.launch().wait(TIMEOUT)


# ------------------------------------------------------------------------------------ its files


def unlink(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replace_by_a_file(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"something else")


def replace_by_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def replace_by_a_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))


def replace_by_a_fifo(path: Path) -> None:
    """Who opens it waits for its other end."""
    path.unlink()
    os.mkfifo(path)


FILES = [unlink, rename, replace_by_a_file, replace_by_a_link, replace_by_a_fifo]


@pytest.mark.parametrize("vanish", [*FILES, replace_by_a_socket])
def test_the_socket_is_made_again_and_connections_stay(
    supervisor: RunningSupervisor, vanish: Callable[[Path], None]
) -> None:
    client = supervisor.client
    under_way = client.start("slow")
    vanish(supervisor_socket(supervisor.state))
    wait_until(lambda: made_again(supervisor, "supervisor.sock"), NOTICED)
    newcomer = supervisor.connect()
    assert [run.id for run in newcomer.status().under_way] == [under_way]
    assert supervisor.socket.stat().st_mode & 0o777 == 0o600
    client.cancel(under_way)
    assert is_clear(client)


@pytest.mark.parametrize("vanish", FILES)
def test_no_second_supervisor_starts_without_the_lock_file_and_it_is_made_again(
    supervisor: RunningSupervisor, vanish: Callable[[Path], None]
) -> None:
    vanish(supervisor_lock(supervisor.state))
    assert second_start(supervisor) == 73
    wait_until(lambda: made_again(supervisor, "supervisor.lock"), NOTICED)
    assert second_start(supervisor) == 73
    assert f"is held by the supervisor with pid {supervisor.pid}" in supervisor.log
    assert is_clear(supervisor.client)
    # What a supervisor of an earlier version would try.
    with supervisor_lock(supervisor.state).open("r+b") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_two_paths_to_one_folder_are_one_folder(supervisor: RunningSupervisor) -> None:
    link = supervisor.folder / "link"
    link.symlink_to(supervisor.state)
    supervisor_lock(supervisor.state).unlink()
    command = [*supervisor.process.args]  # type: ignore[misc]
    command[command.index(str(supervisor.state))] = str(link)
    ended = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
    assert ended.returncode == 73, ended
    wait_until(lambda: made_again(supervisor, "supervisor.lock"), NOTICED)


@pytest.mark.parametrize("name", ["supervisor.sock", "supervisor.lock"])
def test_a_folder_in_the_way_of_a_file_is_said_until_it_is_gone(
    supervisor: RunningSupervisor, name: str
) -> None:
    client = supervisor.client
    path = supervisor.state / name
    path.unlink()
    path.mkdir()
    refusal = wait_until(lambda: client.status().refusal, NOTICED)
    assert refusal.startswith(f"{name} in the state folder {supervisor.state} was removed")
    assert client.status().audit == [refusal]
    with pytest.raises(Unavailable, match="was removed or replaced, and cannot be made again"):
        client.start("quick")
    path.rmdir()
    wait_until(lambda: is_clear(client), NOTICED)
    client.run("quick")
    supervisor.log_path.write_text(supervisor.log.replace("audit_violation", "as expected"))


def remove_tree(path: Path) -> None:
    shutil.rmtree(path)


def link_elsewhere(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("/tmp")


def file_in_place(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


def fifo_in_place(path: Path) -> None:
    shutil.rmtree(path)
    os.mkfifo(path)


@pytest.mark.parametrize("vanish", [remove_tree, link_elsewhere, file_in_place, fifo_in_place])
def test_folders_of_runs_are_made_again(
    supervisor: RunningSupervisor, vanish: Callable[[Path], None]
) -> None:
    client = supervisor.client
    client.run("quick")
    under_way = client.start("slow")
    (child,) = [run for run in client.status().under_way if run.id == under_way]
    assert child.pid is not None
    process = psutil.Process(child.pid)
    # Between its fork and its program it has none yet.
    scratch = Path(wait_until(lambda: process.environ().get("TMPDIR"), NOTICED))
    assert scratch.is_dir()
    vanish(run_scratch(supervisor.state))
    wait_until(lambda: made_again(supervisor, "tmp"), NOTICED)
    assert scratch.is_dir()
    assert client.run("quick").exit.code == 0
    client.cancel(under_way)
    assert list(run_scratch(supervisor.state).glob("*/*")) == []
    assert not run_scratch(supervisor.state).is_symlink()


def test_a_spare_folder_that_vanished_is_not_used(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    client.run("quick")
    for folder in run_scratch(supervisor.state).iterdir():
        folder.rmdir()
    assert client.run("quick").exit.code == 0
    (folder,) = run_scratch(supervisor.state).iterdir()
    assert folder.is_dir()


@pytest.mark.parametrize("vanish", FILES)
def test_the_last_run_id_is_written_again(
    supervisor: RunningSupervisor, vanish: Callable[[Path], None]
) -> None:
    client = supervisor.client
    before = client.run("quick")
    path = last_run_id(supervisor.state)
    vanish(path)
    wait_until(lambda: path.is_file() and path.read_bytes().startswith(b"1 "), NOTICED)
    assert not path.is_symlink()
    assert client.run("quick").id == before.id + 1
    assert is_clear(client)


def test_a_folder_in_the_way_of_the_last_run_id_is_said_until_it_is_gone(
    supervisor: RunningSupervisor,
) -> None:
    client = supervisor.client
    before = client.run("quick")
    path = last_run_id(supervisor.state)
    path.unlink()
    path.mkdir()
    refusal = wait_until(lambda: client.status().refusal, NOTICED)
    assert "a folder is in the place of last-run-id" in refusal
    with pytest.raises(Unavailable, match="a folder is in the place of last-run-id"):
        client.start("quick")
    path.rmdir()
    ends_well(supervisor)
    assert client.run("quick").id > before.id
    assert path.is_file()


@pytest.mark.parametrize("name", ["supervisor.lock", "last-run-id"])
@pytest.mark.parametrize("vanish", [replace_by_a_link, replace_by_a_fifo])
def test_what_lies_in_the_place_of_a_file_holds_up_no_start(
    supervisor: RunningSupervisor, name: str, vanish: Callable[[Path], None]
) -> None:
    before = supervisor.client.run("quick")
    supervisor.kill()
    vanish(supervisor.state / name)
    supervisor.start()
    assert supervisor.client.get(before.id) == before
    assert supervisor.client.run("quick").id == before.id + 1
    assert (supervisor.state / name).is_file()


# ----------------------------------------------------------------------------------- the folder


def test_a_folder_that_is_removed_is_made_again_with_all_that_is_recorded(
    supervisor: RunningSupervisor,
) -> None:
    client = supervisor.client
    before = client.run("megabyte")
    under_way = client.start("slow")
    shutil.rmtree(supervisor.state)
    wait_until(lambda: "state_folder_made_again" in supervisor.log, NOTICED)
    wait_until(lambda: made_again(supervisor, "supervisor.sock"), NOTICED)
    wait_until(lambda: is_clear(client), NOTICED)
    client = supervisor.connect()
    after = client.run("quick")
    assert second_start(supervisor) == 73
    client.cancel(under_way)
    assert client.finished(under_way).cause is Cause.CANCELLED
    supervisor.kill()
    supervisor.start()
    for run in (before, after):
        assert supervisor.client.get(run.id) == run
    assert supervisor.client.run("quick").id == after.id + 1
    assert supervisor.state.stat().st_mode & 0o777 == 0o700


def test_a_new_folder_in_place_of_the_removed_one_is_used(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    before = client.run("quick")
    shutil.rmtree(supervisor.state)
    supervisor.state.mkdir(mode=0o755)
    wait_until(lambda: "state_folder_made_again" in supervisor.log, NOTICED)
    wait_until(lambda: run_store(supervisor.state).exists(), NOTICED)
    wait_until(lambda: made_again(supervisor, "supervisor.sock"), NOTICED)
    assert client.get(before.id) == before
    assert client.run("quick").id == before.id + 1
    assert supervisor.state.stat().st_mode & 0o777 == 0o700


def refusal_of(client: Client) -> str:
    """Return why no run is started, once status, audit and the refusal of a run say the same.

    The reason may become a better one while the files are looked at one after the other.
    """

    def agreed() -> str | None:
        status = client.status()
        with pytest.raises(Unavailable) as refused:
            client.start("quick")
        message = refused.value.message
        return message if status.refusal == message and status.audit == [message] else None

    wait_until(lambda: client.status().refusal, NOTICED)
    return wait_until(agreed, NOTICED)


def ends_well(supervisor: RunningSupervisor) -> None:
    """The audit has said what it was to say."""
    client = supervisor.client
    wait_until(lambda: is_clear(client), NOTICED)
    assert client.run("quick").exit.code == 0
    supervisor.log_path.write_text(supervisor.log.replace("audit_violation", "as expected"))


@pytest.mark.parametrize("replacement", ["nothing", "a folder", "a link to another", "a file"])
def test_a_folder_that_is_moved_away_refuses_until_it_is_back(
    supervisor: RunningSupervisor, replacement: str
) -> None:
    client = supervisor.client
    before = client.run("quick")
    elsewhere = supervisor.folder / "elsewhere"
    supervisor.state.rename(elsewhere)
    if replacement == "a folder":
        supervisor.state.mkdir(mode=0o700)
    elif replacement == "a link to another":
        (supervisor.folder / "other").mkdir()
        supervisor.state.symlink_to(supervisor.folder / "other")
    elif replacement == "a file":
        supervisor.state.write_bytes(b"")
    refusal = refusal_of(client)
    assert refusal.startswith(f"state folder {supervisor.state} ")
    assert refusal.endswith("bring it back, or restart the service")
    assert client.get(before.id) == before
    if replacement == "a folder":
        # Nothing was written there: it is not ours.
        supervisor.state.rmdir()
    elif replacement != "nothing":
        supervisor.state.unlink()
    elsewhere.rename(supervisor.state)
    ends_well(supervisor)
    assert client.get(before.id) == before


def test_a_link_to_where_the_folder_was_moved_is_no_fault(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    elsewhere = supervisor.folder / "elsewhere"
    supervisor.state.rename(elsewhere)
    supervisor.state.symlink_to(elsewhere)
    wait_until(lambda: is_clear(client), NOTICED)
    assert client.run("quick").exit.code == 0
    assert second_start(supervisor) == 73
    supervisor.log_path.write_text(supervisor.log.replace("audit_violation", "as expected"))


def test_a_removed_folder_with_a_link_in_its_place_is_said(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    before = client.run("quick")
    other = supervisor.folder / "other"
    other.mkdir()
    shutil.rmtree(supervisor.state)
    supervisor.state.symlink_to(other)
    refusal = refusal_of(client)
    assert f"{supervisor.state} is a link" in refusal
    supervisor.state.unlink()
    ends_well(supervisor)
    assert client.get(before.id) == before


def test_a_folder_opened_to_others_is_closed(supervisor: RunningSupervisor) -> None:
    supervisor.state.chmod(0o777)
    wait_until(lambda: supervisor.state.stat().st_mode & 0o777 == 0o700, NOTICED)
    wait_until(lambda: "state_folder_closed" in supervisor.log, NOTICED)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_refuses_until_it_may(
    supervisor: RunningSupervisor,
) -> None:
    supervisor.state.chmod(0o500)
    assert "permission denied: make it writable" in refusal_of(supervisor.client)
    supervisor.state.chmod(0o700)
    ends_well(supervisor)


@pytest.fixture
def mounted() -> Iterator[RunningSupervisor]:
    """One whose state folder is a file system of its own."""
    with RunningSupervisor(starts=False) as running:
        running.state.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs", str(running.state)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a disk, and not in every container")
        try:
            running.start()
            yield running
        finally:
            running.hang_up()
            running.process.terminate()
            running.process.wait(TIMEOUT)
            subprocess.run(["umount", "--lazy", str(running.state)], check=False)


def test_a_disk_that_turns_read_only_refuses_until_it_is_writable(
    mounted: RunningSupervisor,
) -> None:
    client = mounted.client
    before = client.run("quick")
    under_way = client.start("slow")
    # A disk with files open for writing is not remounted; the path shows it as it would be then.
    place = str(mounted.state)
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    try:
        assert "its file system has become read-only: make it writable" in refusal_of(client)
        assert client.get(before.id) == before
        assert [run.id for run in client.status().under_way] == [under_way]
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
    wait_until(lambda: is_clear(client), NOTICED)
    client.cancel(under_way)
    assert client.finished(under_way).cause is Cause.CANCELLED
    ends_well(mounted)
    mounted.kill()
    mounted.start()
    assert mounted.client.get(before.id) == before
    assert mounted.client.run("quick").id > under_way


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[tuple[RunningSupervisor, Path]]:
    """A supervisor on a disk of its own, which is a file."""
    disk = tmp_path / "disk"
    with RunningSupervisor(starts=False) as running:
        running.state.mkdir(mode=0o700)
        with disk.open("wb") as file:
            file.truncate(16 << 20)
        mount = ["mount", "-o", "loop", str(disk), str(running.state)]
        for command in (["mkfs.ext4", "-q", str(disk)], mount):
            if shutil.which(command[0]) is None or subprocess.run(command, check=False).returncode:
                pytest.skip("only root can mount a disk, and not in every container")
        try:
            running.state.chmod(0o700)
            running.start()
            yield running, disk
        finally:
            running.hang_up()
            running.process.terminate()
            running.process.wait(TIMEOUT)
            subprocess.run(["umount", "--lazy", str(running.state)], check=False)


def test_a_disk_that_fails_refuses_until_it_is_mended(
    ext4: tuple[RunningSupervisor, Path],
) -> None:
    """The kernel stops all writes after an error of the disk; to all else it looks writable."""
    supervisor, disk = ext4
    client = supervisor.client
    before = client.run("quick")
    place = str(supervisor.state)
    subprocess.run(["mount", "-o", "remount,abort", place], check=True)
    refusal = wait_until(lambda: client.status().refusal, NOTICED)
    assert "ead-only file system" in refusal or "has become read-only" in refusal
    assert client.get(before.id) == before
    with pytest.raises(Unavailable):
        client.start("quick")
    supervisor.kill_with_shim()
    assert second_start(supervisor) == 1
    subprocess.run(["umount", place], check=True)
    # As another disk: somebody's copy of the mount may keep the failed one in use.
    mended = shutil.copy(disk, disk.with_name("mended"))
    subprocess.run(["e2fsck", "-p", mended], capture_output=True, check=False)
    subprocess.run(["mount", "-o", "loop", mended, place], check=True)
    supervisor.start()
    assert supervisor.client.get(before.id) == before
    assert supervisor.client.run("quick").id > before.id


def test_a_disk_that_is_unmounted_refuses(mounted: RunningSupervisor) -> None:
    client = mounted.client
    before = client.run("quick")
    subprocess.run(["umount", "--lazy", str(mounted.state)], check=True)
    assert "is another folder than at the start of the service" in refusal_of(client)
    assert client.get(before.id) == before
    assert not list(mounted.state.iterdir())

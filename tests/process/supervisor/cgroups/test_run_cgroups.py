"""A cgroup for each run: what hides in it ends with it, and the kernel bounds its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from genvm_manager.base.process.identity import start_ticks
from genvm_manager.protocol.ipc.runs import Cause, Exit
from genvm_manager.supervisor.cgroups.folder import members, own_members
from genvm_manager.supervisor.cgroups.leftovers import Leftovers, record_slices, slice_name
from genvm_manager.supervisor.cgroups.run_cgroup import RunCgroup, Slice
from tests.support.cgroups import MEMORY, UNIFIED, GivenCgroup, given_cgroup
from tests.support.supervisor import CHILDREN, Client, RunningSupervisor, has_ended
from tests.support.waiting import TIMEOUT, wait_until

LIMIT = 64 << 20
HIDES_A_DAEMON = str(CHILDREN / "hides_a_daemon.py")


@pytest.fixture(params=["v2", "v1"])
def way(request: pytest.FixtureRequest) -> Iterator[GivenCgroup]:
    """A cgroup in one hierarchy alone: only v2 kills by itself."""
    with given_cgroup(UNIFIED if request.param == "v2" else MEMORY) as given:
        yield given


@pytest.fixture
def given() -> Iterator[GivenCgroup]:
    with given_cgroup() as given:
        yield given


def in_force(given: GivenCgroup, config: str = "") -> RunningSupervisor:
    """A supervisor that has a cgroup to put its runs into."""
    return RunningSupervisor(f"cgroup: {given.path}\nrun_memory_limit: {LIMIT}\n{config}")


def family(executor: int) -> list[psutil.Process]:
    """`hides_a_daemon`, the process that it keeps, and the daemon without an environment."""

    def complete() -> list[psutil.Process]:
        found = [psutil.Process(executor), *psutil.Process(executor).children(recursive=True)]
        return found if len(found) == 3 and not found[-1].environ() else []

    return wait_until(complete)


def hide(client: Client, given: GivenCgroup) -> tuple[int, list[psutil.Process]]:
    """A run that hides a daemon; its processes, once all of them are in a cgroup."""
    run_id = client.start("hides_a_daemon")
    (executor,) = [each.pid for each in client.status().executions if each.id == run_id]
    assert executor is not None
    found = family(executor)
    wait_until(lambda: given.members() == {process.pid for process in found})
    return run_id, found


def inside(folder: Path) -> Callable[[], None]:
    """Moves a process that is about to start."""

    def move() -> None:
        (folder / "cgroup.procs").write_text("0")

    return move


def test_what_hides_is_attached_to_a_cgroup_and_ends_with_it(way: GivenCgroup) -> None:
    """Nobody here adopts what loses its parent, or knows it by name."""
    slices = tuple(Slice(str(folder), None) for folder in way.folders.values())
    cgroup = RunCgroup(slices, 7, LIMIT)
    with subprocess.Popen([sys.executable, HIDES_A_DAEMON]) as executor:
        found = family(executor.pid)
        cgroup.attach(executor.pid)
        assert way.members("7") == {process.pid for process in found}
        assert cgroup.is_populated() and not cgroup.remove()

        def is_empty() -> bool:
            cgroup.kill()
            return not cgroup.is_populated()

        wait_until(is_empty)
        wait_until(lambda: all(has_ended(process) for process in found))
    assert cgroup.remove() and not cgroup.is_populated()
    assert not any((folder / "7").exists() for folder in way.folders.values())


def test_a_run_has_a_cgroup_until_it_ends(way: GivenCgroup) -> None:
    with in_force(way) as supervisor:
        client = supervisor.client
        first, found = hide(client, way)
        second = client.start("ignores_term")
        wait_until(lambda: len(way.members()) == 4)
        (slice_folder,) = way.slices
        assert way.members(f"{slice_folder.name}/{first}") == {process.pid for process in found}
        client.cancel(first)
        assert all(has_ended(process) for process in found)
        assert len(way.members(f"{slice_folder.name}/{second}")) == 1
        client.cancel(second)
        wait_until(lambda: not [path for path in slice_folder.iterdir() if path.is_dir()])
        assert client.run("crashes").exit == Exit(code=7)
    assert not way.slices
    assert not (supervisor.state / "cgroups").exists()


def test_what_is_in_a_cgroup_ends_with_the_run_whoever_started_it(way: GivenCgroup) -> None:
    """Neither parents nor sessions nor tokens lead to the one that we put there."""
    with in_force(way) as supervisor, subprocess.Popen(["sleep", "600"]) as outsider:
        run_id, _ = hide(supervisor.client, way)
        (folder,) = way.folders.values()
        place = folder / way.slices[0].name / str(run_id) / "cgroup.procs"
        place.write_text(str(outsider.pid))
        supervisor.client.cancel(run_id)
        assert outsider.wait(TIMEOUT) == -signal.SIGKILL
        assert not way.members()


def test_without_supervisor_and_shim_the_next_supervisor_ends_what_hides(
    way: GivenCgroup,
) -> None:
    with in_force(way) as supervisor:
        run_id, found = hide(supervisor.client, way)
        supervisor.kill_with_shim()
        daemon = found[-1]
        assert daemon.is_running() and not daemon.environ()
        supervisor.start()
        assert all(has_ended(process) for process in found)
        assert "left_runs_killed" in supervisor.log and str(daemon.pid) in supervisor.log
        assert supervisor.client.finished(run_id).cause is Cause.LOST
        assert len(way.slices) == 1


def test_without_a_cgroup_nobody_knows_what_hides() -> None:
    with RunningSupervisor("cgroup: null\n") as supervisor:
        client = supervisor.client
        run_id = client.start("hides_a_daemon")
        (executor,) = [each.pid for each in client.status().executions if each.id == run_id]
        assert executor is not None
        found = family(executor)
        supervisor.kill_with_shim()
        supervisor.start()
        assert "no_run_cgroups why='the setting cgroup is null'" in supervisor.log
        assert supervisor.client.finished(run_id).cause is Cause.LOST
        assert all(has_ended(process) for process in found[:-1])
        assert found[-1].is_running()
        found[-1].kill()


def test_the_shim_leaves_no_cgroup_behind(way: GivenCgroup) -> None:
    with in_force(way) as supervisor:
        _, found = hide(supervisor.client, way)
        os.kill(supervisor.pid, signal.SIGKILL)
        assert supervisor.process.wait(TIMEOUT) == -signal.SIGKILL
        assert all(has_ended(process) for process in found)
        assert str(found[-1].pid) in supervisor.log.splitlines()[-1]
        assert not way.slices
        assert not (supervisor.state / "cgroups").exists()
        supervisor.hang_up()
        supervisor.start()


def test_the_kernel_bounds_the_memory_of_a_run_and_of_no_other(given: GivenCgroup) -> None:
    """The memory is such that the sampler cannot see it."""
    if not given.bounds_memory:
        pytest.skip("no memory controller reaches the cgroups that can be made here")
    with in_force(given) as supervisor:
        client = supervisor.client
        neighbour = client.start("slow")
        run = client.run("hides_memory")
        assert (run.cause, run.exit) == (Cause.MEMORY, Exit(signal=9))
        assert run.reason == f"the kernel killed it for want of memory, the limit is {LIMIT}"
        assert run.peak_rss is not None and LIMIT * 0.9 < run.peak_rss <= LIMIT
        client.cancel(neighbour)
        assert client.finished(neighbour).cause is Cause.CANCELLED


def test_a_kill_by_somebody_else_is_not_for_want_of_memory(given: GivenCgroup) -> None:
    if not given.bounds_memory:
        pytest.skip("no memory controller reaches the cgroups that can be made here")
    with in_force(given) as supervisor:
        run_id, found = hide(supervisor.client, given)
        found[0].kill()
        run = supervisor.client.finished(run_id)
        assert (run.cause, run.exit) == (Cause.EXITED, Exit(signal=9))


def test_without_a_cgroup_memory_that_hides_is_not_bounded() -> None:
    with RunningSupervisor(f"cgroup: null\nrun_memory_limit: {LIMIT}\n") as supervisor:
        assert supervisor.client.run("hides_memory").exit == Exit(code=0)


def _has_one_member(cgroup: Path) -> bool:
    return len(members(str(cgroup))) == 1


def test_one_that_was_delegated_is_found(given: GivenCgroup) -> None:
    """As systemd does it: the mark, and the service started inside."""
    if UNIFIED not in given.folders:
        pytest.skip("no cgroups v2 on this machine")
    own = given.folders[UNIFIED]
    os.setxattr(own, "user.delegate", b"1")
    bounds_memory = "memory" in (own / "cgroup.controllers").read_text().split()
    with RunningSupervisor(starts=False) as supervisor:
        for _ in range(2):
            place = own / "service" if (own / "service").exists() else own
            supervisor.start(preexec_fn=inside(place))
            assert f"run_cgroups cgroup={given.path} kill=v2" in supervisor.log
            run_id = supervisor.client.start("slow")
            (slice_folder,) = own.glob("runs.*")
            wait_until(partial(_has_one_member, slice_folder / str(run_id)))
            if bounds_memory:
                assert not own_members(str(own))
                served = {supervisor.pid, supervisor.process.pid}
                assert set(own_members(str(own / "service"))) == served
            # What `serve` starts the second time, it starts where it is itself.
            (own / "service").mkdir(exist_ok=True)
            supervisor.kill()


def test_one_that_was_not_delegated_is_left_alone(given: GivenCgroup) -> None:
    if UNIFIED not in given.folders:
        pytest.skip("no cgroups v2 on this machine")
    own = given.folders[UNIFIED]
    with RunningSupervisor(starts=False) as supervisor:
        supervisor.start(preexec_fn=inside(own))
        why = f"our own cgroup {given.path} is not delegated to us"
        assert f"no_run_cgroups why='{why}'" in supervisor.log
        run_id = supervisor.client.start("ignores_term")
        wait_until(lambda: supervisor.client.catches(signal.SIGTERM, run_id))
        assert not [path for path in own.iterdir() if path.is_dir()]
        supervisor.client.cancel(run_id)
        supervisor.process.terminate()
        supervisor.process.wait(TIMEOUT)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("/genvm-nowhere", "cgroup: /genvm-nowhere does not exist below /"),
        ("genvm", "cgroup: expected auto, null or a path such as /genvm"),
        ("/genvm/../etc", "cgroup: expected auto, null or a path such as /genvm"),
    ],
)
def test_one_that_cannot_be_used_is_refused(setting: str, complaint: str) -> None:
    with RunningSupervisor(f"cgroup: {setting}\n", starts=False) as supervisor:
        assert supervisor.launch().wait(TIMEOUT) == 2
        assert complaint in supervisor.log


def test_the_runs_of_a_copied_state_folder_are_left_to_their_supervisor(
    way: GivenCgroup, tmp_path: Path
) -> None:
    """Of the record's slices, one is of a process that lives: this one."""
    (folder,) = way.folders.values()
    ours, orphaned = folder / slice_name(), folder / f"runs.{os.getpid()}.{start_ticks(1)}"
    sleepers = []
    for each in (ours, orphaned):
        each.mkdir()
        sleepers.append(subprocess.Popen(["sleep", "600"]))
        (each / "cgroup.procs").write_text(str(sleepers[-1].pid))
    record_slices(str(tmp_path), [str(ours), str(orphaned), str(tmp_path), "/", "runs.1.1"])
    try:
        assert Leftovers(str(tmp_path)).end(TIMEOUT) == [sleepers[1].pid]
        assert sleepers[1].wait(TIMEOUT) == -signal.SIGKILL
        assert sleepers[0].poll() is None
        assert ours.exists() and not orphaned.exists()
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait(TIMEOUT)


def test_a_short_run_costs_no_cgroup(given: GivenCgroup) -> None:
    """It would wait for the kernel longer than it lives."""
    with in_force(given, "log_level: debug\n") as supervisor:
        client = supervisor.client

        def short_run() -> int | None:
            run = client.run("quick")
            assert run.started_at is not None
            return run.id if run.finished_at - run.started_at < 0.04 else None

        short, long = wait_until(short_run), client.start("slow")
        # One thread does it, one after the other.
        wait_until(lambda: f"run_cgroup_attached run={long} " in supervisor.log)
        assert f"run_cgroup_attached run={short} " not in supervisor.log
        client.cancel(long)


def unlink(record: Path) -> None:
    record.unlink()


def empty(record: Path) -> None:
    record.write_bytes(b"")


def rename(record: Path) -> None:
    record.rename(record.with_name("elsewhere"))


def replace_by_a_fifo(record: Path) -> None:
    record.unlink()
    os.mkfifo(record)


def replace_by_a_link(record: Path) -> None:
    record.rename(record.with_name("other"))
    record.symlink_to("/nowhere/at/all")


@pytest.mark.parametrize("vanish", [unlink, empty, rename, replace_by_a_fifo, replace_by_a_link])
def test_the_record_of_the_slices_is_written_again(
    given: GivenCgroup, vanish: Callable[[Path], None]
) -> None:
    """By it the next start ends what a supervisor that was killed has left."""
    with in_force(given) as supervisor:
        record = supervisor.state / "cgroups"
        written = record.read_text()
        assert sorted(written.splitlines()) == sorted(map(str, given.slices))
        vanish(record)
        wait_until(lambda: "state_file_made_again name=cgroups" in supervisor.log)
        assert record.read_text() == written
        assert not record.is_symlink()
        assert supervisor.client.status().refusal is None
        _, found = hide(supervisor.client, given)
        supervisor.kill_with_shim()
        supervisor.start()
        wait_until(lambda: all(map(has_ended, found)))


def test_a_folder_in_the_way_of_that_record_is_said_until_it_is_gone(given: GivenCgroup) -> None:
    with in_force(given) as supervisor:
        record = supervisor.state / "cgroups"
        record.unlink()
        record.mkdir()
        refusal = wait_until(lambda: supervisor.client.status().refusal)
        assert refusal.startswith(f"cgroups in the state folder {supervisor.state} was removed")
        record.rmdir()
        wait_until(lambda: supervisor.client.status().refusal is None)
        assert record.is_file()
        supervisor.log_path.write_text(supervisor.log.replace("audit_violation", "as expected"))

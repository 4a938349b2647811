"""Every way in which a run can end, and that nothing is left after it."""

from __future__ import annotations

import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from genvm_manager.base.errors import ModulesNotRunning, RequestFailed, RunNotFound
from genvm_manager.base.files.state_folder import run_scratch
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.ipc.runs import Capture, Cause, Exit, MajorSelector, RunState
from tests.support.supervisor import RunningSupervisor
from tests.support.waiting import TIMEOUT, wait_until


@pytest.fixture(scope="module")
def supervisor() -> Iterator[RunningSupervisor]:
    config = f"run_memory_limit: {200 << 20}\nexecutor_env: {{GREETING: hello}}\n"
    with RunningSupervisor(config) as running:
        yield running


def test_a_run_gets_its_data_and_gives_its_result(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("echoes", execution_data=b"d" * 3_000_000, extra_args=["--debug-mode"])
    assert run.result == b"d" * 3_000_000
    assert (run.cause, run.exit, run.reason) == (Cause.EXITED, Exit(code=0), None)
    assert msgspec.json.decode(run.genvm_log) == [
        {"level": "info", "message": "hello"},
        {"level": "info", "message": "not json"},
    ]
    arguments = run.stdout.decode().split()
    assert arguments[1:5] == ["run", "--debug-mode", "--sync", "--host"]
    assert arguments[-1] == f"--genvm-id={run.id}"
    assert run.cpu_seconds is not None and run.cpu_seconds > 0


def test_the_environment_holds_only_what_is_listed(supervisor: RunningSupervisor) -> None:
    run = supervisor.client.run("echoes")
    names = {line.partition("=")[0] for line in run.stderr.decode().splitlines()}
    assert "GREETING=hello" in run.stderr.decode().splitlines()
    ours = {"GENVM_RUN_TOKEN", "GENVM_CACHE_DIR", "GENVM_CACHE_BYTES"}
    allowed = {"PATH", "HOME", "LANG", "TMPDIR", "GREETING", *ours}
    # The interpreter itself sets LC_CTYPE where no locale is given.
    assert names <= allowed | {"LC_CTYPE"}


def test_an_exit_code_is_kept(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("crashes")
    assert (run.cause, run.exit, run.result) == (Cause.EXITED, Exit(code=7), None)


def test_one_that_ignores_sigterm_is_killed_after_the_grace(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run_id = client.start("ignores_term", deadline=600.0)
        wait_until(lambda: client.catches(signal.SIGTERM, run_id))
        begun = time.monotonic()
        client.cancel(run_id, grace=0.3)
        took = time.monotonic() - begun
        run = client.finished(run_id)
    assert took >= 0.3
    assert (run.cause, run.exit) == (Cause.CANCELLED, Exit(signal=9))


def test_a_second_cancel_shortens_the_first(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run_id = client.start("ignores_term", deadline=600.0)
        wait_until(lambda: client.catches(signal.SIGTERM, run_id))
        patient = threading.Thread(target=supervisor.connect().cancel, args=(run_id, 600.0))
        patient.start()
        wait_until(lambda: f"run_stopping run={run_id}" in supervisor.log)
        (seen,) = [each for each in client.status().executions if each.id == run_id]
        assert (seen.state, seen.cause) == (RunState.RUNNING, Cause.CANCELLED)
        client.cancel(run_id, grace=0.0)
        patient.join(TIMEOUT)
        assert not patient.is_alive()
        supervisor.hang_up_but(client)


def test_one_that_obeys_sigterm_may_still_hand_in_a_result(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run_id = client.start("obeys_term", capture=Capture.BRIEF)
        wait_until(lambda: client.catches(signal.SIGTERM, run_id))
        client.cancel(run_id, grace=10.0)
        run = client.finished(run_id)
    assert (run.cause, run.exit, run.result) == (Cause.CANCELLED, Exit(code=3), b"ended")


def test_the_deadline_kills(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("never_connects", deadline=0.4)
    assert (run.cause, run.exit) == (Cause.DEADLINE, Exit(signal=9))
    assert run.started_at is not None
    assert 0.4 <= run.finished_at - run.started_at < 2


def test_too_much_memory_kills(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("eats_memory")
    assert (run.cause, run.exit) == (Cause.MEMORY, Exit(signal=9))
    assert run.peak_rss is not None and run.peak_rss > 200 << 20
    assert "limit" in (run.reason or "")


def test_what_a_run_leaves_behind_is_ended_with_it(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("forks_grandchild")
        left = [int(line) for line in run.stdout.split()]
        assert len(left) >= 3
        assert not [pid for pid in left if psutil.pid_exists(pid)]


def test_one_that_dies_midway_has_no_result(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("dies_midway")
    assert (run.cause, run.exit, run.result) == (Cause.EXITED, Exit(signal=9), None)
    assert run.stdout == b"on my way"


@pytest.mark.parametrize("child", ["sends_wrong_method", "sends_two_results"])
def test_a_broken_connection_keeps_the_result(supervisor: RunningSupervisor, child: str) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run(child)
    assert (run.cause, run.exit, run.result) == (Cause.EXITED, Exit(code=0), b"first")
    assert f"result_channel_refused run={run.id}" in supervisor.log


@pytest.mark.parametrize(
    ("capture", "kept"), [(Capture.TAIL, 4 << 20), (Capture.EVERYTHING, 64 << 20)]
)
def test_a_flood_is_cut_at_its_beginning(
    supervisor: RunningSupervisor, capture: Capture, kept: int
) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("floods_stdout", capture=capture)
    assert len(run.stdout) == kept
    assert run.stdout.endswith(b"the end\n")
    assert run.stdout_dropped == 100_000_008 - kept
    assert len(run.stderr) + run.stderr_dropped == 20_000_008
    assert run.stderr.endswith(b"the end\n")


@pytest.mark.parametrize(
    ("capture", "kept"),
    [(Capture.BRIEF, 128), (Capture.TAIL, 10_000), (Capture.EVERYTHING, 50_004)],
)
def test_a_log_is_cut_at_its_beginning(
    supervisor: RunningSupervisor, capture: Capture, kept: int
) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("floods_log", capture=capture)
    records = msgspec.json.decode(run.genvm_log)
    assert len(records) == kept
    assert records[-1] == {"level": "debug", "message": "49999"}
    # The line of a megabyte counts as the four pieces that it is cut into.
    assert run.log_dropped == 50_004 - kept
    sizes = [len(b'{"level":"info","message":""}') + 250_000 + 2] * 4
    sizes += [len(b'{"level":"debug","message":""}') + len(str(n)) + 2 for n in range(50_000)]
    assert run.log_dropped_bytes == sum(sizes[: 50_004 - kept])


def test_capture_nothing_sends_the_log_to_ours(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("echoes", capture=Capture.NOTHING)
    assert (run.stdout, run.stderr, run.genvm_log, run.result) == (b"", b"", b"[]", b"data")
    assert f"info executor_log run={run.id} message=hello" in supervisor.log


@pytest.mark.parametrize("capture", [Capture.TAIL, Capture.NOTHING])
def test_where_an_executor_broke_is_in_our_log_alone(
    supervisor: RunningSupervisor, capture: Capture
) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("breaks", capture=capture)
    assert b"/opt/secret" not in run.genvm_log
    if capture is not Capture.NOTHING:
        assert msgspec.json.decode(run.genvm_log) == [{"level": "error", "message": "broke"}] * 10
    told = supervisor.log.count(f"error executor_fault run={run.id} traceback='File ")
    assert told == 4, "a run has a share of our log"
    assert supervisor.log.count("/opt/secret/run.py") == supervisor.log.count("executor_fault run=")


@pytest.mark.parametrize("capture", [Capture.TAIL, Capture.NOTHING])
def test_why_a_contract_failed_is_kept_beside_the_run(
    supervisor: RunningSupervisor, capture: Capture
) -> None:
    with supervisor.leaves_nothing() as client:
        run = client.run("blames_its_contract", capture=capture)
    assert run.contract_error == "KeyError: 1"
    assert supervisor.client.get(run.id) == run


def test_a_temporary_folder_that_became_a_fifo_holds_up_nothing(
    supervisor: RunningSupervisor,
) -> None:
    with supervisor.leaves_nothing() as client:
        for _ in range(10):
            assert client.run("swaps_its_folder").exit.code == 0
    assert all(each.is_dir() for each in run_scratch(supervisor.state).iterdir())


def test_scratch_folders_are_removed_whatever_is_in_them(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        assert client.run("litters").exit.code == 0
        assert all(stat.S_IMODE(each.stat().st_mode) == 0o700 for each in _folders(supervisor))


def _folders(supervisor: RunningSupervisor) -> list[Path]:
    return list(run_scratch(supervisor.state).iterdir())


def test_a_pipe_that_an_outsider_holds_delays_the_end_but_little(
    supervisor: RunningSupervisor,
) -> None:
    path = supervisor.folder / "outsider.sock"
    with socket.socket(socket.AF_UNIX) as listener, supervisor.leaves_nothing() as client:
        listener.bind(str(path))
        listener.listen(1)
        run_id = client.start("passes_its_pipe_on", host=f"unix://{path}")
        connection, _ = listener.accept()
        with connection:
            message, (descriptor,), _, _ = socket.recv_fds(connection, 16, 1)
            assert message == b"take it"
            with open(descriptor, "wb"):
                connection.send(b"!")
                run = client.finished(run_id)
    assert run.stdout == b"passed on\n"
    assert run.started_at is not None and run.finished_at - run.started_at < 3


def test_a_start_that_fails_leaves_nothing(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        with pytest.raises(RequestFailed, match="/nonexistent/genvm: No such file"):
            client.start("quick", selector=MajorSelector(4), token="again")
        with pytest.raises(RequestFailed, match="major 99"):
            client.start("quick", selector=MajorSelector(99))
        with pytest.raises(ModulesNotRunning, match=r"^modules are required but not running"):
            client.start("quick", is_sync=False, modules=list(ModuleKind))
        assert client.run("quick", token="again").exit.code == 0


def test_unknown_runs(supervisor: RunningSupervisor) -> None:
    for unknown in (0, 999_999_999, (1 << 63) + 1):
        assert supervisor.client.get(unknown, wait=5.0) is None
        with pytest.raises(RunNotFound, match=f"^GenVM with id {unknown} not found$"):
            supervisor.client.cancel(unknown)


def test_status_shows_a_run_while_it_lasts(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run_id = client.start("slow", deadline=100.0)

        def sampled() -> bool:
            (seen,) = [each for each in client.status().executions if each.id == run_id]
            assert seen.state is RunState.RUNNING
            assert seen.started_at is not None
            assert seen.accepted_at <= seen.started_at
            assert seen.cause is None
            assert seen.strict_deadline == seen.started_at + 100
            return bool(seen.rss and seen.pid)

        wait_until(sampled)
        client.cancel(run_id)
        (seen,) = [each for each in client.status().executions if each.id == run_id]
        assert (seen.state, seen.pid, seen.rss) == (RunState.FINISHED, None, None)
        assert seen.cause is Cause.CANCELLED
        client.cancel(run_id)

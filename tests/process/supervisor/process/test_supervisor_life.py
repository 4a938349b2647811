"""The supervisor as a process: its start, its stop, its death, and the one after it."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from functools import partial

import psutil
import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed, Unavailable
from genvm_manager.protocol.ipc.commands import GetPermits
from genvm_manager.protocol.ipc.runs import Cause, Exit, MajorSelector, RunState
from genvm_manager.protocol.ipc.status import Permits
from tests.support.supervisor import Client, RunningSupervisor
from tests.support.waiting import TIMEOUT, wait_until


def test_an_idle_supervisor_stops_about_as_fast_as_it_starts() -> None:
    with RunningSupervisor("drain_timeout: 600s\n", starts=False) as supervisor:
        begun = time.monotonic()
        supervisor.start()
        started = time.monotonic()
        supervisor.client.run("quick")
        asked = time.monotonic()
        supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.process.wait(TIMEOUT) == 0
        assert time.monotonic() - asked < 1 + 3 * (started - begun)


def test_the_folder_is_private_and_the_process_says_what_it_is() -> None:
    with RunningSupervisor() as supervisor:
        assert stat.S_IMODE(supervisor.state.stat().st_mode) == 0o700
        assert stat.S_IMODE(supervisor.socket.stat().st_mode) == 0o600
        for role, pid in (("supervisor", supervisor.pid), ("shim", supervisor.process.pid)):
            title = " ".join(psutil.Process(pid).cmdline())
            assert title.strip() == f"genvm-manager {role} {supervisor.state}"


def test_a_second_one_on_the_same_folder_says_who_holds_it() -> None:
    with RunningSupervisor() as supervisor:
        second = supervisor.launch()
        assert second.wait(TIMEOUT) == 73
        last = supervisor.log.splitlines()[-1]
        assert f"is held by the supervisor with pid {supervisor.pid}, started 20" in last
        assert supervisor.client.run("quick").exit.code == 0


@pytest.mark.parametrize(
    ("config", "manifest", "said"),
    [
        ("max_queued: many", None, "max_queued: expected int, got str"),
        ("", "executor_versions: {x1: {available_after: 2024-01-01T00:00:00Z}}", "'x1' is no v"),
        ("", "nonsense", "manifest: expected object"),
    ],
)
def test_bad_settings_are_named(config: str, manifest: str | None, said: str) -> None:
    with RunningSupervisor(config, manifest, starts=False) as supervisor:
        assert supervisor.launch().wait(TIMEOUT) == 2
        assert said in supervisor.log
        assert len(supervisor.log.splitlines()) == 1


def test_a_folder_of_others_is_left_as_it_is() -> None:
    with RunningSupervisor(starts=False) as supervisor:
        supervisor.state.mkdir(mode=0o755)
        (supervisor.state / "precious").write_text("not ours")
        assert supervisor.launch().wait(TIMEOUT) == 1
        assert "holds files that are not ours; name a folder" in supervisor.log
        assert stat.S_IMODE(supervisor.state.stat().st_mode) == 0o755


def test_a_parent_pipe_that_is_none_is_named() -> None:
    with RunningSupervisor(starts=False) as supervisor:
        assert supervisor.launch("--parent-pipe-fd", "99").wait(TIMEOUT) == 2
        assert "--parent-pipe-fd 99: Bad file descriptor" in supervisor.log


def test_finished_runs_and_ids_outlive_a_restart() -> None:
    with RunningSupervisor() as supervisor:
        first = supervisor.client.run("echoes", token="one")
        withdrawn = first.id + 1
        with pytest.raises(RequestFailed):
            supervisor.client.start("quick", selector=MajorSelector(4))
        supervisor.process.send_signal(signal.SIGTERM)
        supervisor.process.wait()
        supervisor.start()
        assert supervisor.client.get(first.id) == first
        assert supervisor.client.start("echoes", token="one") == first.id
        assert supervisor.client.start("quick") > withdrawn
        executions = supervisor.client.status().executions
        shown = next(each for each in executions if each.id == first.id)
        assert shown.strict_deadline
        assert (shown.cause, shown.accepted_at) == (first.cause, first.accepted_at)


def test_runs_that_outlive_supervisor_and_shim_are_left_to_the_next_as_lost() -> None:
    with RunningSupervisor() as supervisor:
        client = supervisor.client
        kept = client.run("echoes")
        slow = client.start("slow")
        forking = client.start("forks_grandchild")
        client.finished(forking)
        deaf = client.start("ignores_term")
        before = {each.id: each.pid for each in client.status().executions}
        wait_until(lambda: client.catches(signal.SIGTERM, deaf))
        supervisor.kill_with_shim()
        assert psutil.pid_exists(before[slow] or 0)
        supervisor.start()
        for run_id in (slow, deaf):
            lost = supervisor.client.get(run_id)
            assert lost is not None
            assert (lost.cause, lost.exit, lost.result) == (Cause.LOST, Exit(), None)
            assert lost.genvm_log == b"[]"
            assert not psutil.pid_exists(before[run_id] or 0) or _is_zombie(before[run_id])
            assert Cause.LOST in [
                each.cause for each in supervisor.client.status().executions if each.id == run_id
            ]
        assert supervisor.client.get(kept.id) == kept
        assert supervisor.client.run("quick").id > deaf
        supervisor.assert_no_runs()


def test_so_are_the_daemons_of_runs() -> None:
    with RunningSupervisor() as supervisor:
        supervisor.client.start("keeps_a_daemon")
        wait_until(lambda: len(supervisor.processes()) == 4)
        supervisor.kill_with_shim()
        assert len(supervisor.processes()) == 2
        supervisor.start()
        supervisor.assert_no_runs()


def _is_zombie(pid: int | None) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_sigterm_lets_runs_finish_and_takes_no_more() -> None:
    with RunningSupervisor("drain_timeout: 600s\n") as supervisor:
        run_id = supervisor.client.start("obeys_term")
        waiting, other = supervisor.connect(), supervisor.connect()
        found: list[object] = []
        waiter = threading.Thread(target=lambda: found.append(waiting.finished(run_id)))
        waiter.start()
        supervisor.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not supervisor.client.status().accepting)
        with pytest.raises(Unavailable, match="shutting down"):
            other.start("quick")
        other.cancel(run_id, grace=5.0)
        waiter.join(TIMEOUT)
        assert found
        assert supervisor.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("how", ["a second SIGTERM", "the end of the parent-death pipe"])
def test_an_urgent_stop_ends_runs_at_once_and_records_it(how: str) -> None:
    with RunningSupervisor("drain_timeout: 600s\npermits: {total: 2}\n") as supervisor:
        supervisor.client.run("quick")
        supervisor.process.send_signal(signal.SIGTERM)
        supervisor.process.wait()
        read_end, write_end = os.pipe()
        supervisor.start("--parent-pipe-fd", str(read_end), pass_fds=[read_end])
        os.close(read_end)
        deaf = supervisor.client.start("ignores_term")
        obeying = supervisor.client.start("obeys_term")
        refused: list[str] = []
        queued = threading.Thread(target=_start_refused, args=(supervisor.connect(), refused))
        queued.start()
        wait_until(lambda: supervisor.client.status().permits.queued == 1)
        for run_id in (deaf, obeying):
            wait_until(partial(supervisor.client.catches, signal.SIGTERM, run_id))
        if how == "a second SIGTERM":
            supervisor.process.send_signal(signal.SIGTERM)
            queued.join(TIMEOUT)
            supervisor.process.send_signal(signal.SIGTERM)
        else:
            os.close(write_end)
            queued.join(TIMEOUT)
        assert supervisor.process.wait(TIMEOUT) == 0
        assert refused == ["the supervisor is shutting down"]
        supervisor.start()
        first, second = supervisor.client.get(deaf), supervisor.client.get(obeying)
        assert first is not None and second is not None
        assert (first.cause, first.exit) == (Cause.SHUTDOWN, Exit(signal=9))
        assert second.cause is Cause.SHUTDOWN
        if how == "a second SIGTERM":
            os.close(write_end)
            assert (second.exit, second.result) == (Exit(code=3), b"ended")
        else:
            # Nobody is left for whom a run could finish: there is no grace.
            assert (second.exit, second.result) == (Exit(signal=9), None)


def _start_refused(client: Client, refused: list[str]) -> None:
    try:
        client.start("quick")
    except Unavailable as error:
        refused.append(error.message)


def test_runs_wait_their_turn_and_can_be_cancelled_there() -> None:
    with RunningSupervisor("max_queued: 2\npermits: {total: 2}\n") as supervisor:
        client = supervisor.client
        running = [client.start("slow"), client.start("slow")]
        outcomes: list[object] = []
        waiting = [
            threading.Thread(target=_outcome, args=(supervisor.connect(), outcomes))
            for _ in range(2)
        ]
        for number, thread in enumerate(waiting, start=1):
            thread.start()
            wait_until(partial(_has_queued, client, number))
        with pytest.raises(Unavailable, match="2 runs wait for permits already"):
            client.start("quick")
        queued = [e.id for e in client.status().executions if e.state is RunState.QUEUED]
        assert client.get(queued[0]) is None
        client.cancel(queued[0])
        dequeued = client.finished(queued[0])
        assert (dequeued.cause, dequeued.started_at, dequeued.exit) == (
            Cause.CANCELLED,
            None,
            Exit(),
        )
        client.cancel(running[0])
        for thread in waiting:
            thread.join(TIMEOUT)
        assert outcomes == [f"run {queued[0]} was cancelled before it started", queued[1]]
        assert client.finished(queued[1]).exit.code == 0
        client.cancel(running[1])


def _has_queued(client: Client, number: int) -> bool:
    return client.status().permits.queued == number


def _outcome(client: Client, outcomes: list[object]) -> None:
    try:
        outcomes.append(client.start("quick"))
    except RequestFailed as error:
        outcomes.append(error.message)


def test_permits_can_be_lowered_and_raised_under_way() -> None:
    with RunningSupervisor("permits: {total: 3}\n") as supervisor:
        client = supervisor.client
        running = [client.start("slow") for _ in range(3)]
        with pytest.raises(BadRequest, match="permits: expected 2"):
            client.set_permits(1)
        lowered = client.set_permits(2)
        assert (lowered.free, lowered.total, lowered.in_use) == (-1, 2, 3)
        outcomes: list[object] = []
        thread = threading.Thread(target=_outcome, args=(supervisor.connect(), outcomes))
        thread.start()
        wait_until(lambda: client.status().permits.queued == 1)
        client.cancel(running[0])
        assert client.status().permits.queued == 1
        client.set_permits(3)
        thread.join(TIMEOUT)
        assert isinstance(outcomes[0], int)
        client.finished(outcomes[0])
        for run_id in running[1:]:
            client.cancel(run_id)
        counts = client.ask(GetPermits())
        assert counts == Permits(3, 3, 0, 0, 1, 2)


def test_one_token_starts_one_run_however_many_ask_at_once() -> None:
    with RunningSupervisor() as supervisor:
        outcomes: list[object] = []
        clients = [supervisor.connect() for _ in range(8)]
        threads = [
            threading.Thread(target=lambda c=c: outcomes.append(c.start("quick", token="t")))
            for c in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert len(outcomes) == 8 and len(set(outcomes)) == 1
        assert supervisor.log.count("run_running") == 1
        assert supervisor.client.start("quick", token="t") == outcomes[0]


def test_finished_runs_are_forgotten_after_their_retention() -> None:
    with RunningSupervisor("execution_retention: 1s\n") as supervisor:
        client = supervisor.client
        run_ids = [client.start("quick", token=f"t{n}") for n in range(130)]
        status = client.status()
        finished = [each for each in status.executions if each.state is RunState.FINISHED]
        assert len(finished) <= 100
        wait_until(lambda: client.get(run_ids[0]) is None and client.get(run_ids[-1]) is None)
        wait_until(lambda: not client.status().executions)
        assert client.status().executions_omitted == 0
        assert client.start("quick", token="t0") > run_ids[-1]


def test_without_a_manifest_the_builtin_executor_is_offered() -> None:
    with RunningSupervisor(starts=False) as supervisor:
        supervisor.offer_builtin()
        supervisor.start()
        run = supervisor.client.finished(
            supervisor.client.start("quick", selector=MajorSelector(0))
        )
        assert run.version == "v0.2.0"
        assert run.exit.code not in (None, 0)
        assert b"unix:///nowhere.sock" in run.genvm_log
        supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.process.wait(TIMEOUT) == 0

"""Runs that the supervisor hosts itself, with executors of every sort; watchers of its status."""

from __future__ import annotations

import signal
import time

import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed, Unavailable
from genvm_manager.protocol.contract.code import MAX_CODE
from genvm_manager.protocol.executor import decode_execution_data
from genvm_manager.protocol.framing import FrameError, send_frame
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.commands import ReadSchema, WatchStatus
from genvm_manager.protocol.ipc.replies import Failure, RunStatus
from genvm_manager.protocol.ipc.runs import Cause, FinishedRun, RunState
from genvm_manager.protocol.ipc.status import Status
from tests.support.supervisor import MAJORS, SHELL_MAJORS, Client, RunningSupervisor
from tests.support.waiting import TIMEOUT, wait_until

CONFIG = "schema_deadline: 1s\n"


def command(child: str, code: bytes = b"code") -> ReadSchema:
    major = SHELL_MAJORS[child][0] if child in SHELL_MAJORS else MAJORS[child]
    return ReadSchema(major, time.time(), code)


def read(client: Client, child: str) -> FinishedRun:
    reply = client.ask(command(child))
    assert isinstance(reply, RunStatus)
    assert reply.run is not None
    return reply.run


@pytest.mark.parametrize(
    ("child", "cause"),
    [
        ("quick", Cause.EXITED),
        ("crashes", Cause.EXITED),
        ("slow", Cause.DEADLINE),
        ("ignores_term", Cause.DEADLINE),
        ("never_connects", Cause.DEADLINE),
        ("litters", Cause.EXITED),
    ],
)
def test_whatever_the_executor_does_nothing_is_left(child: str, cause: Cause) -> None:
    with RunningSupervisor(CONFIG) as supervisor, supervisor.leaves_nothing() as client:
        run = read(client, child)
        assert run.cause is cause
        assert client.finished(run.id) == run


def test_the_executor_is_told_what_spec_04_says() -> None:
    with RunningSupervisor(CONFIG) as supervisor, supervisor.leaves_nothing() as client:
        run = read(client, "echoes")
        arguments = run.stdout.decode().splitlines()
        assert arguments[arguments.index("--permissions") + 1] == "r"
        assert "--sync" in arguments
        host = arguments[arguments.index("--host") + 1]
        assert host.startswith(f"unix://{supervisor.state}/tmp/")
        assert len(host) <= len(f"unix://{supervisor.socket}")
        assert run.result is not None
        assert decode_execution_data(run.result).code is None


def test_what_cannot_start_says_why_and_leaves_nothing() -> None:
    with RunningSupervisor(CONFIG) as supervisor, supervisor.leaves_nothing() as client:
        with pytest.raises(RequestFailed, match="/nonexistent/genvm"):
            client.ask(ReadSchema(4, time.time(), b""))
        with pytest.raises(RequestFailed, match="major 99"):
            client.ask(ReadSchema(99, time.time(), b""))
        with pytest.raises(BadRequest, match="code"):
            supervisor.connect().ask(command("quick", bytes(MAX_CODE + 1)))
        supervisor.hang_up_but(client)


def test_a_client_that_goes_away_ends_its_run_wherever_it_is() -> None:
    with RunningSupervisor() as supervisor, supervisor.leaves_nothing() as client:
        client.set_permits(2)
        readers = [supervisor.connect() for _ in range(4)]
        for reader in readers:
            send_frame(reader.socket, codec.encode(command("slow")))
        wait_until(
            lambda: [e.state for e in client.status().under_way].count(RunState.RUNNING) == 2
        )
        assert client.status().permits.queued == 2
        ids = [entry.id for entry in client.status().under_way]
        supervisor.hang_up_but(client)
        for run_id in ids:
            run = client.finished(run_id)
            assert (run.cause, run.reason) == (Cause.CANCELLED, "its client went away")
        client.set_permits(8)


def test_hasty_clients_leave_nothing() -> None:
    """They go away before their run is even on record."""
    with RunningSupervisor() as supervisor, supervisor.leaves_nothing() as client:
        for _ in range(50):
            reader = supervisor.connect()
            send_frame(reader.socket, codec.encode(command("slow")))
            reader.close()
        wait_until(lambda: not client.status().under_way)
        wait_until(lambda: client.status().permits.in_use == 0)
        supervisor.hang_up_but(client)


def test_a_run_that_is_cancelled_in_the_queue_is_told_so() -> None:
    with RunningSupervisor() as supervisor, supervisor.leaves_nothing() as client:
        client.set_permits(2)
        first = [client.start("slow") for _ in range(2)]
        reader = supervisor.connect()
        send_frame(reader.socket, codec.encode(command("slow")))
        (queued,) = wait_until(lambda: [e.id for e in client.status().under_way
                                        if e.state == "queued"])  # fmt: skip
        client.cancel(queued)
        reply = reader.receive()
        assert isinstance(reply, Failure)
        assert isinstance(reply.error(), RequestFailed)
        assert reply.message == f"run {queued} was cancelled before it started"
        for run_id in first:
            client.cancel(run_id)
        client.set_permits(8)
        supervisor.hang_up_but(client)


# ------------------------------------------------------------------------------------- watchers


def test_a_watcher_is_told_of_a_change() -> None:
    with RunningSupervisor() as supervisor:
        client, watcher = supervisor.connect(), supervisor.connect()
        send_frame(watcher.socket, codec.encode(WatchStatus(client.status().revision, TIMEOUT)))
        client.set_permits(9)
        status = watcher.receive()
        while isinstance(status, Status) and status.permits.total != 9:
            status = watcher.ask(WatchStatus(status.revision, TIMEOUT))
        assert isinstance(status, Status)


def test_watchers_do_not_hold_up_a_stop() -> None:
    with RunningSupervisor() as supervisor:
        watchers = [supervisor.connect() for _ in range(20)]
        for watcher in watchers:
            revision = watcher.status().revision
            send_frame(watcher.socket, codec.encode(WatchStatus(revision, 120.0)))
        supervisor.process.send_signal(signal.SIGTERM)
        for watcher in watchers:
            reply = watcher.receive()
            if not isinstance(reply, Status):
                assert isinstance(reply, Failure)
                assert isinstance(reply.error(), Unavailable)
            with pytest.raises((FrameError, OSError)):
                watcher.receive()
        assert supervisor.process.wait(TIMEOUT) == 0

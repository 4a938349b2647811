"""The supervisor's socket: who may speak, in what form, and how it takes bad manners."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.framing import frame, receive_frame
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.commands import GetRun, GetStatus, Hello
from genvm_manager.protocol.ipc.replies import Failure, Welcome
from genvm_manager.protocol.ipc.runs import Capture, MajorSelector
from genvm_manager.supervisor.ipc.server import MAX_CLIENTS, Server
from tests.support.supervisor import RunningSupervisor, start_command
from tests.support.waiting import TIMEOUT, wait_until


@pytest.fixture(scope="module")
def supervisor() -> Iterator[RunningSupervisor]:
    with RunningSupervisor(
        "max_body: 100000\nallowed_extra_args: [--debug-mode, --x]\n"
    ) as running:
        yield running


def connection_to(supervisor: RunningSupervisor) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(supervisor.socket))
    connection.settimeout(TIMEOUT)
    return connection


def refusal(connection: socket.socket) -> str:
    """The message of the failure that comes before the other side hangs up."""
    reply = codec.decode_reply(receive_frame(connection, timeout=TIMEOUT))
    assert isinstance(reply, Failure)
    assert connection.recv(1) == b""
    return reply.message


def test_greeting(supervisor: RunningSupervisor) -> None:
    welcome = supervisor.client.welcome
    assert isinstance(welcome, Welcome)
    assert welcome.version == codec.VERSION
    assert psutil.Process(welcome.pid).ppid() == supervisor.process.pid


def test_another_version_is_told_what_to_do(supervisor: RunningSupervisor) -> None:
    with connection_to(supervisor) as connection:
        connection.sendall(frame(codec.encode(Hello(codec.VERSION + 1, "newer"))))
        said = refusal(connection)
    assert f"newer speaks {codec.VERSION + 1}: restart both" in said


def test_a_command_needs_a_greeting(supervisor: RunningSupervisor) -> None:
    with connection_to(supervisor) as connection:
        connection.sendall(frame(codec.encode(GetStatus())))
        assert "Hello comes first" in refusal(connection)


@pytest.mark.parametrize(
    "sent", [b"", b"\xc1", b"\x81\xa4type\xa4None", b"\x81\xa4type\xa8GetRunXX", b"junk"]
)
def test_what_is_no_command_is_refused(supervisor: RunningSupervisor, sent: bytes) -> None:
    with connection_to(supervisor) as connection:
        connection.sendall(frame(sent))
        assert refusal(connection).startswith("command: ")


def test_a_frame_that_is_too_long_is_refused_by_its_head(supervisor: RunningSupervisor) -> None:
    with connection_to(supervisor) as connection:
        connection.sendall(struct.pack(">I", 3_000_000))
        assert "3000000 bytes is announced" in refusal(connection)


def test_a_half_sent_frame_and_a_silent_client_are_hung_up_on(
    supervisor: RunningSupervisor,
) -> None:
    half = supervisor.connect()
    with connection_to(supervisor) as silent:
        half.socket.sendall(frame(codec.encode(GetStatus()))[:-1])
        assert "not whole within 10 s" in refusal(half.socket)
        assert "not whole within 10 s" in refusal(silent)


def test_clients_are_bounded(supervisor: RunningSupervisor) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as crowd:
        for _ in range(MAX_CLIENTS - 1):
            crowd.enter_context(connection_to(supervisor))
        one_too_many = crowd.enter_context(connection_to(supervisor))
        assert f"{MAX_CLIENTS} clients are connected" in refusal(one_too_many)
        assert supervisor.client.run("quick").exit.code == 0
    wait_until(lambda: len(supervisor.open_files()) < 200)


def test_random_bytes_hurt_nobody(supervisor: RunningSupervisor) -> None:
    source = random.Random(7)
    for size in (1, 3, 4, 5, 100, 10_000):
        with connection_to(supervisor) as connection:
            connection.sendall(source.randbytes(size))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
    assert supervisor.client.run("quick").exit.code == 0


def test_one_command_at_a_time(supervisor: RunningSupervisor) -> None:
    run_id = supervisor.client.start("slow")
    client = supervisor.connect()
    client.socket.sendall(
        frame(codec.encode(GetRun(run_id, 60.0))) + frame(codec.encode(GetStatus()))
    )
    assert "the one before it is not answered" in refusal(client.socket)
    supervisor.client.cancel(run_id)


def test_a_waiter_that_goes_away_leaves_the_run_alone(supervisor: RunningSupervisor) -> None:
    with supervisor.leaves_nothing() as client:
        run_id = client.start("slow")
        waiter = supervisor.connect()
        waiter.socket.sendall(frame(codec.encode(GetRun(run_id, 60.0))))
        files = len(supervisor.open_files())
        waiter.close()
        wait_until(lambda: len(supervisor.open_files()) == files - 1)
        assert client.get(run_id, wait=0.1) is None
        client.cancel(run_id)
        supervisor.hang_up_but(client)


def test_a_start_goes_on_when_its_client_goes_away(supervisor: RunningSupervisor) -> None:
    leaver = supervisor.connect()
    leaver.socket.sendall(frame(codec.encode(start_command("quick", token="left"))))
    leaver.close()
    run_id = supervisor.client.start("quick", token="left")
    assert supervisor.client.finished(run_id).exit.code == 0


def test_waiting_ends_in_time(supervisor: RunningSupervisor) -> None:
    run_id = supervisor.client.start("slow")
    begun = time.monotonic()
    assert supervisor.client.get(run_id, wait=0.2) is None
    assert time.monotonic() - begun >= 0.2
    assert supervisor.client.get(run_id, wait=-1.0) is None
    assert supervisor.client.get(run_id, wait=float("nan")) is None
    supervisor.client.cancel(run_id, grace=float("nan"))


def test_many_clients_are_served_at_once(supervisor: RunningSupervisor) -> None:
    run_id = supervisor.client.start("slow")
    clients = [supervisor.connect() for _ in range(50)]
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda c=client: found.append(c.finished(run_id)))
        for client in clients
    ]
    for thread in threads:
        thread.start()
    supervisor.client.cancel(run_id)
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(found) == 50
    supervisor.hang_up_but(supervisor.client)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"extra_args": ["--log-fd=1"]}, "extra_args: '--log-fd=1' is not allowed"),
        ({"extra_args": ["--x", "safe"]}, "extra_args: 'safe' is not allowed"),
        ({"extra_args": ["--debug-mode", "unsafe"]}, "needs allow_unsafe_debug"),
        ({"is_unsafe": True, "capture": Capture.EVERYTHING}, "debug_mode: unsafe modes are off"),
        ({"deadline": 0.0}, "deadline: expected more than 0"),
        ({"deadline": float("nan")}, "deadline: expected more than 0"),
        ({"deadline": 1e9}, "deadline: expected more than 0"),
        ({"timestamp": float("inf")}, "timestamp: "),
        ({"host": "--sync"}, "host: "),
        ({"host": "unix:///a\0b"}, "host: "),
        ({"permissions": "-"}, "permissions: "),
        ({"token": ""}, "host_genvm_id: "),
    ],
)
def test_what_must_not_reach_an_executor(
    supervisor: RunningSupervisor, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        supervisor.client.start("quick", **fields)
    assert said in refused.value.message


def test_numbers_out_of_range_are_refused_not_crashed_upon(supervisor: RunningSupervisor) -> None:
    with pytest.raises(BadRequest):
        supervisor.client.set_permits(1 << 60)
    with pytest.raises(Exception, match="no executor for major"):
        supervisor.client.start("quick", selector=MajorSelector(1 << 62), timestamp=1e300)


def _said_to_nobody(supervisor: RunningSupervisor) -> int:
    """As the user nobody: how many bytes the supervisor says before it hangs up."""
    try:
        os.setgid(65534)
        os.setuid(65534)
        with connection_to(supervisor) as connection:
            return len(connection.recv(100))
    except ConnectionResetError:
        return 0
    except OSError:
        return 111


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused(supervisor: RunningSupervisor) -> None:
    supervisor.folder.chmod(0o755)
    supervisor.state.chmod(0o755)
    supervisor.socket.chmod(0o666)
    child = os.fork()
    if child == 0:
        os._exit(_said_to_nobody(supervisor))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "client_refused uid=65534" in supervisor.log


def test_a_client_that_does_not_read_holds_up_nobody(supervisor: RunningSupervisor) -> None:
    run = supervisor.client.run("floods_stdout", capture=Capture.EVERYTHING)
    lazy = supervisor.connect()
    lazy.socket.sendall(frame(codec.encode(GetRun(run.id))))
    assert supervisor.client.run("quick").exit.code == 0
    lazy.close()


@pytest.mark.parametrize("turns", range(6))
def test_a_server_closes_in_the_middle_of_a_connections_making(turns: int, tmp_path: Path) -> None:
    """Whatever the event loop has done of it by then: accepted it, made it, or neither."""

    async def close_while_one_connects() -> None:
        log = EventLog(logging.getLogger("server"))
        server = Server({}, log, max_frame=1_000)
        await server.listen(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "socket"))
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.close()

    asyncio.run(close_while_one_connects())

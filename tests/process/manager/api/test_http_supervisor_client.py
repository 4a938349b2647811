"""The pooled client against peers that break off, stay silent or send invalid replies."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from genvm_manager.base.errors import ManagerError, RunNotFound, Unavailable
from genvm_manager.manager.api.limits.concurrency import ConcurrencyLimiter, ConcurrencyLimits
from genvm_manager.manager.api.supervisor_client import MAX_IDLE, SupervisorClient
from genvm_manager.manager.ipc_client.connection import CALLER_GONE, Connection
from genvm_manager.protocol.framing import FrameError, receive_frame, send_frame
from genvm_manager.protocol.ipc import codec
from genvm_manager.protocol.ipc.commands import (
    CancelRun,
    Command,
    GetPermits,
    GetRun,
    Hello,
    StartRun,
)
from genvm_manager.protocol.ipc.replies import (
    Failure,
    Reply,
    RunCancelled,
    RunStarted,
    RunStatus,
    Welcome,
)
from genvm_manager.protocol.ipc.runs import Capture, MajorSelector
from genvm_manager.protocol.ipc.status import Permits
from tests.support.waiting import TIMEOUT, wait_until

PERMITS = Permits(free=1, total=2, in_use=1, queued=0, per_sync_run=1, per_nondet_run=2)
START = StartRun(
    selector=MajorSelector(0),
    timestamp=0.0,
    host="unix:///x",
    is_sync=True,
    modules=[],
    permissions="",
    capture=Capture.TAIL,
    is_unsafe=False,
    deadline=1.0,
    token=None,
    extra_args=[],
    execution_data=b"",
)

Act = Callable[[socket.socket, Command], None]
"""What the peer does with a command, on the connection that it came by."""


def answer(reply: Reply) -> Act:
    return lambda connection, _command: send_frame(connection, codec.encode(reply))


def hang_up(connection: socket.socket, _command: Command) -> None:
    connection.shutdown(socket.SHUT_RDWR)


class Peer:
    """Greets as a supervisor does, then acts out one act per command; the last one for ever."""

    def __init__(self, path: Path) -> None:
        self.acts: list[Act] = [answer(PERMITS)]
        self.commands: list[Hello | Command] = []
        self.connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_all()

    def drop_all(self) -> None:
        """End every connection, as a supervisor that dies does."""
        while self.connections:
            connection = self.connections.pop()
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                receive_frame(connection, timeout=TIMEOUT)
                send_frame(connection, codec.encode(Welcome(codec.VERSION, "peer", 1)))
                while True:
                    command = codec.decode_command(receive_frame(connection, timeout=None))
                    assert not isinstance(command, Hello)
                    self.commands.append(command)
                    act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
                    act(connection, command)
            except (OSError, FrameError):
                return


def permits(client: SupervisorClient) -> Permits:
    return client.ask(GetPermits(), Permits)


def start(client: SupervisorClient, limiter: ConcurrencyLimiter | None = None) -> RunStarted:
    return client.ask(START, RunStarted, TIMEOUT, limiter, is_repeatable=False)


def wait_for_run(
    client: SupervisorClient, run_id: int, limiter: ConcurrencyLimiter | None = None
) -> RunStatus:
    return client.ask(GetRun(run_id, 100.0), RunStatus, 110.0, limiter)


def cancel(client: SupervisorClient, run_id: int) -> RunCancelled:
    return client.ask(CancelRun(run_id, 0.0), RunCancelled)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def peer(path: Path) -> Iterator[Peer]:
    peer = Peer(path)
    yield peer
    peer.close()


@pytest.fixture
def client(path: Path, peer: Peer) -> Iterator[SupervisorClient]:
    client = SupervisorClient(path, client="test")
    yield client
    client.close()


def test_one_connection_serves_one_after_another(client: SupervisorClient, peer: Peer) -> None:
    for _ in range(20):
        assert permits(client) == PERMITS
    assert len(peer.connections) == 1


def test_many_threads_have_a_connection_each_and_few_are_kept(
    client: SupervisorClient, peer: Peer
) -> None:
    gate = threading.Barrier(40)

    def wait_for_all(connection: socket.socket, command: Command) -> None:
        gate.wait(TIMEOUT)
        answer(PERMITS)(connection, command)

    peer.acts = [wait_for_all]
    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(lambda _: permits(client), range(40))) == [PERMITS] * 40
    assert len(peer.connections) == 40
    peer.acts = [answer(PERMITS)]
    wait_until(lambda: sum(c.fileno() >= 0 for c in peer.connections) <= MAX_IDLE)


def test_no_supervisor_is_unavailable_and_back_again(path: Path) -> None:
    client = SupervisorClient(path, client="test")
    for _ in range(5):
        with pytest.raises(Unavailable, match="cannot be reached"):
            permits(client)
    peer = Peer(path)
    assert permits(client) == PERMITS
    peer.close()
    client.close()


def test_a_kept_connection_that_died_is_replaced(client: SupervisorClient, peer: Peer) -> None:
    permits(client)
    peer.drop_all()
    assert permits(client) == PERMITS
    peer.acts = [answer(RunStarted(7))]
    peer.drop_all()
    assert start(client) == RunStarted(7)
    assert sum(isinstance(command, StartRun) for command in peer.commands) == 1


def test_reads_are_repeated_once_and_starts_never(client: SupervisorClient, peer: Peer) -> None:
    permits(client)
    peer.acts = [hang_up, answer(PERMITS)]
    assert permits(client) == PERMITS
    peer.acts = [hang_up]
    peer.commands.clear()
    with pytest.raises(Unavailable):
        permits(client)
    assert len(peer.commands) == 2
    peer.acts = [answer(PERMITS), hang_up]
    permits(client)
    peer.commands.clear()
    with pytest.raises(Unavailable):
        start(client)
    assert len(peer.commands) == 1


def test_failures_are_raised_as_what_they_are(client: SupervisorClient, peer: Peer) -> None:
    peer.acts = [answer(Failure.of(RunNotFound("GenVM with id 5 not found")))]
    with pytest.raises(RunNotFound, match=r"^GenVM with id 5 not found$"):
        cancel(client, 5)
    peer.acts = [answer(Failure.of(Unavailable("the queue is full", 9)))]
    with pytest.raises(Unavailable, match="the queue is full") as raised:
        start(client)
    assert raised.value.retry_after == 9
    assert len(peer.connections) == 1


@pytest.mark.parametrize(
    "reply",
    [
        struct.pack(">I", 3) + b"\xff\xff\xff",
        struct.pack(">I", 0xFFFFFFFF) + b"x",
        struct.pack(">I", 0),
        struct.pack(">I", 9) + b"cut off",
    ],
)
def test_an_invalid_reply_ends_the_connection(
    client: SupervisorClient, peer: Peer, reply: bytes
) -> None:
    def send_invalid(connection: socket.socket, _command: Command) -> None:
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_RDWR)

    peer.acts = [send_invalid]
    with pytest.raises(ManagerError):
        permits(client)
    peer.acts = [answer(RunStarted(1))]
    with pytest.raises(ManagerError, match="RunStarted"):
        permits(client)
    peer.acts = [answer(PERMITS)]
    assert permits(client) == PERMITS


def test_another_version_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                receive_frame(connection, timeout=TIMEOUT)
                failure = Failure("bad_request", "version 9 is spoken here")
                send_frame(connection, codec.encode(failure))

        refusing = threading.Thread(target=refuse)
        refusing.start()
        with pytest.raises(Unavailable, match="version 9 is spoken here"):
            Connection(path, "test")
        refusing.join()


def test_silence_has_an_end(client: SupervisorClient, peer: Peer) -> None:
    connection = client._connect()
    peer.acts = [lambda *_: None]
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer within 1 s"):
        connection.ask(GetPermits(), 1.0)
    assert time.monotonic() - begin >= 1.0


def test_close_ends_those_who_wait(client: SupervisorClient, peer: Peer) -> None:
    peer.acts = [lambda *_: None]
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(wait_for_run, client, 1) for _ in range(3)]
        wait_until(lambda: len(peer.commands) == 3)
        client.close()
        for each in waiting:
            with pytest.raises(Unavailable, match="shutting down"):
                each.result(TIMEOUT)
    with pytest.raises(Unavailable, match="shutting down"):
        permits(client)


def test_a_command_that_waits_takes_only_a_place_of_its_own_kind(
    client: SupervisorClient, peer: Peer
) -> None:
    limits = ConcurrencyLimits(4)
    peer.acts = [lambda *_: None]
    with ThreadPoolExecutor(3) as pool:
        waiting: list[Future[RunStatus] | Future[RunStarted]] = [
            pool.submit(wait_for_run, client, 1, limits.readers) for _ in range(2)
        ]
        waiting.append(pool.submit(start, client, limits.starters))
        wait_until(lambda: len(peer.commands) == 3)
        with pytest.raises(Unavailable, match="2 requests wait for a run to end here already"):
            wait_for_run(client, 2, limits.readers)
        with pytest.raises(Unavailable, match="1 requests wait for a run to start"):
            start(client, limits.starters)
        peer.acts = [answer(RunStatus(1, None))]
        assert wait_for_run(client, 1) == RunStatus(1, None)
        peer.acts = [answer(RunCancelled(1))]
        assert cancel(client, 1) == RunCancelled(1)
        client.close()
        assert all(isinstance(each.exception(TIMEOUT), Unavailable) for each in waiting)


def test_a_caller_that_hangs_up_is_waited_for_no_longer(path: Path, peer: Peer) -> None:
    ours, theirs = socket.socketpair()
    client = SupervisorClient(path, client="test", caller=lambda: ours)
    peer.acts = [lambda *_: None]
    with ThreadPoolExecutor(1) as pool, ours:
        waiting = pool.submit(wait_for_run, client, 1)
        wait_until(lambda: peer.commands)
        theirs.send(b"the next request is no hangup")
        assert not waiting.done()
        theirs.close()
        with pytest.raises(Unavailable, match=CALLER_GONE):
            waiting.result(TIMEOUT)
        peer.acts = [answer(PERMITS)]
        assert permits(client) == PERMITS
    client.close()

"""What a worker makes of connections, handed over and at its listening sockets alike.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from genvm_manager.base.errors import RequestFailed
from genvm_manager.protocol import calldata
from genvm_manager.protocol.framing import MAX_FRAME, FrameError
from genvm_manager.protocol.module_frames import FatalFault, UserFault
from genvm_manager.workers.pool import Address, Listener
from genvm_manager.workers.worker import stream_frames, websocket_frames
from genvm_manager.workers.worker.stream_frames import StreamFrames
from genvm_manager.workers.worker.websocket_frames import WebSocketFrames
from tests.support.pool import (
    Executor,
    PoolUnderTest,
    WebSocketExecutor,
    run,
    running_pool,
    wait_until,
)

Make = Callable[[], Awaitable[Executor]]
ways = pytest.mark.parametrize("way", ["stream", "websocket"])


@asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[tuple[PoolUnderTest, int]]:
    """A pool that listens on a free port, and the port."""
    listener = await Listener.bind(Address("127.0.0.1", 0))
    try:
        async with running_pool(listener=listener, **options) as pool:
            yield pool, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


@asynccontextmanager
async def connectable(way: str) -> AsyncIterator[tuple[PoolUnderTest, Make]]:
    """A pool, and what makes a connection to it."""
    if way == "stream":
        async with running_pool() as pool:
            yield pool, pool.executor
    else:
        async with listening() as (pool, port):
            yield pool, lambda: WebSocketExecutor.at(port)


@ways
def test_requests_are_answered_in_order(way: str) -> None:
    async def test() -> None:
        async with connectable(way) as (_, make):
            executor = await make()
            await executor.hello(5, node_address="0x1", extra=[1, None])
            who = await executor.ask("Who")
            assert (who["genvm_id"], who["host_data"]) == (
                5,
                {"node_address": "0x1", "extra": [1, None]},
            )
            await executor.request("Sleep", 50)
            await executor.request("Echo", "second")
            assert await executor.answer() is None
            assert await executor.answer() == "second"
            await executor.close()

    run(test)


@ways
def test_faults_are_answers_and_the_connection_goes_on(way: str) -> None:
    async def test() -> None:
        async with connectable(way) as (_, make):
            executor = await make()
            await executor.hello()
            with pytest.raises(UserFault) as refused:
                await executor.ask("Refuse", {"status": 404})
            assert refused.value.causes == ["REFUSED", "ECHO"]
            assert refused.value.context == {"why": {"status": 404}}
            for name, said in (
                ("Fatal", "no more"),
                ("Broken", "internal error of the module; its log says more"),
                ("Unencodable", "internal error of the module; its log says more"),
            ):
                with pytest.raises(FatalFault, match=f"^{said}$"):
                    await executor.ask(name, "no more")
            with pytest.raises(FatalFault, match=r"is too long$"):
                await executor.ask("Huge", MAX_FRAME)
            assert await executor.ask("Echo", b"still here") == b"still here"

    run(test)


@ways
@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([b"\xff\xff"], "not calldata"),
        ([calldata.encode({"genvm_id": "seven"})], "hello: genvm_id: expected int"),
        ([calldata.encode({"genvm_id": -1})], "no such run"),
        ([calldata.encode({"genvm_id": 1}), calldata.encode({"A": 1, "B": 2})], "one key, got 2"),
        ([calldata.encode({"genvm_id": 1}), b""], "not calldata"),
        ([calldata.encode({"genvm_id": 1}), calldata.encode([1])], "expected a map, got list"),
    ],
)
def test_a_malformed_frame_ends_the_connection_and_not_the_worker(
    way: str, frames: list[bytes], said: str
) -> None:
    async def test() -> None:
        async with connectable(way) as (pool, make):
            before = pool.pids
            good = await make()
            await good.hello()
            executor = await make()
            for body in frames:
                await executor.send(body)
            with pytest.raises(FatalFault, match=said):
                await executor.answer()
            assert await executor.receive() is None
            assert await good.ask("Echo", 1) == 1
            assert pool.pids == before

    run(test)


@ways
def test_a_request_of_an_executor_that_is_gone_is_cancelled(way: str) -> None:
    async def test() -> None:
        async with connectable(way) as (pool, make):
            watcher, executor = await make(), await make()
            await watcher.hello()
            await executor.hello()
            await executor.request("Sleep", 600_000)
            await wait_until(lambda: pool.sessions == 2)
            await executor.close()
            await wait_until(lambda: pool.sessions == 1)
            who = await watcher.ask("Who")
            assert (who["cancelled"], who["closed"]) == (1, 1)

    run(test)


def test_a_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    async def test() -> None:
        async with running_pool() as pool:
            executor = await pool.greeted()
            executor.writer.write((MAX_FRAME + 1).to_bytes(4, "big"))
            with pytest.raises(FatalFault, match="67108865 bytes is announced, the limit is"):
                await executor.answer()
            assert await executor.receive() is None

    run(test)


def test_a_message_that_is_too_long_is_refused() -> None:
    async def test() -> None:
        async with listening() as (pool, port):
            executor = await WebSocketExecutor.at(port)
            await executor.hello()
            with pytest.raises(ConnectionClosed) as end:
                await executor.send(bytes(MAX_FRAME + 1))
                await executor.connection.recv()
            assert end.value.rcvd is not None
            assert end.value.rcvd.code == 1009
            await wait_until(lambda: pool.sessions == 0)

    run(test)


@ways
def test_the_longest_frame_comes_and_goes(way: str) -> None:
    async def test() -> None:
        async with connectable(way) as (_, make):
            executor = await make()
            await executor.hello()
            content = bytes(MAX_FRAME - 64)
            assert await executor.ask("Echo", content) == content

    run(test)


def test_text_is_no_frame() -> None:
    async def test() -> None:
        async with listening() as (_, port):
            executor = await WebSocketExecutor.at(port)
            await executor.connection.send("hello")
            with pytest.raises(FatalFault, match="expected a binary message"):
                await executor.answer()
            assert await executor.receive() is None

    run(test)


def test_browsers_are_refused() -> None:
    async def test() -> None:
        async with listening() as (_, port):
            with pytest.raises(InvalidStatus) as refused:
                await WebSocketExecutor.at(port, origin="http://localhost:3000")
            assert refused.value.response.status_code == 403

    run(test)


def test_all_workers_take_from_the_same_listening_socket() -> None:
    async def test() -> None:
        async with listening(workers=2) as (pool, port):
            victim = (await _asked(await WebSocketExecutor.at(port)))["pid"]
            os.kill(victim, signal.SIGSTOP)
            other = (await _asked(await WebSocketExecutor.at(port)))["pid"]
            assert {victim, other} == set(pool.pids)
            os.kill(victim, signal.SIGKILL)
            await wait_until(lambda: len(pool.log.named("worker_ready")) == 3)
            assert (await _asked(await WebSocketExecutor.at(port)))["pid"] in pool.pids

    run(test)


def test_a_pool_takes_over_the_listening_socket_of_another() -> None:
    async def test() -> None:
        async with listening() as (old, port):
            kept = await WebSocketExecutor.at(port)
            assert (await _asked(kept))["pid"] in old.pids
            async with running_pool(listener=old.listener) as new:
                draining = asyncio.create_task(old.retire(60, new))
                # The old worker may take connections until it has heard of the drain.
                await wait_until(lambda: _listens(old.pids[0], port) is False)
                assert (await _asked(await WebSocketExecutor.at(port)))["pid"] in new.pids
                assert await kept.ask("Echo", "old") == "old"
                await kept.close()
                await draining

    run(test)


def test_an_address_that_is_taken_is_named() -> None:
    async def test() -> None:
        first = await Listener.bind(Address("127.0.0.1", 0))
        port = first.sockets[0].getsockname()[1]
        with pytest.raises(RequestFailed, match=f"^cannot listen at 127.0.0.1:{port}: Address"):
            await Listener.bind(Address("127.0.0.1", port))
        with pytest.raises(RequestFailed, match=r"^cannot listen at no.such.invalid:80: "):
            await Listener.bind(Address("no.such.invalid", 80))
        first.close()

    run(test)


def test_a_name_means_all_addresses_that_this_machine_has() -> None:
    """`localhost` is `::1` as well, also where there is no IPv6."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)
        usable = {family for family, *_ in found if _has(family)}
        assert usable
        for host in ("localhost", ""):
            listener = await Listener.bind(Address(host, 0))
            try:
                assert usable <= {each.family for each in listener.sockets}
            finally:
                listener.close()
        with pytest.raises(RequestFailed, match="Cannot assign requested address"):
            await Listener.bind(Address("192.0.2.1", 80))

    run(test)


def _has(family: int) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    except OSError:
        return False
    return True


def test_unknown_peers_do_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        async with listening() as (pool, port):
            for junk in (
                b"",
                b"\0" * 1000,
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /" * 10_000,
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(junk)
                writer.write_eof()
                await reader.read()
                writer.close()
            assert (await _asked(await WebSocketExecutor.at(port)))["pid"] in pool.pids

    run(test)
    assert "Traceback" not in capfd.readouterr().err


def test_a_frame_that_does_not_go_on_is_not_awaited_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_frames, "FRAME_TIMEOUT", 0.2)

    async def test() -> None:
        ours, theirs = socket.socketpair()
        frames = await StreamFrames.of(theirs)
        with ours:
            silent = asyncio.create_task(frames.receive())
            await asyncio.wait({silent}, timeout=0.4)
            assert not silent.done()
            ours.send(b"\0\0\0\5half")
            with pytest.raises(FrameError, match="was not whole within"):
                await silent
        await frames.close()

    run(test)


def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_frames, "WRITE_TIMEOUT", 0.2)

    async def test() -> None:
        ours, theirs = socket.socketpair()
        frames = await StreamFrames.of(theirs)
        with ours, pytest.raises(FrameError, match="could not be sent"):
            await frames.send(bytes(32 << 20))
        await frames.close()

    run(test)


def test_a_client_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_frames, "HELLO_TIMEOUT", 0.2)
    refused: list[str] = []

    async def handle(frames: WebSocketFrames) -> None:
        try:
            await frames.receive()
        except FrameError as error:
            refused.append(str(error))

    async def test() -> None:
        listener = await Listener.bind(Address("127.0.0.1", 0))
        (listening,) = listener.sockets
        server = await websocket_frames.listen(listening, handle, lambda: not refused)
        port = listening.getsockname()[1]
        assert await (await WebSocketExecutor.at(port)).receive() is None
        assert refused == ["no hello came within 0 s"]
        with pytest.raises(InvalidStatus) as full:
            await WebSocketExecutor.at(port)
        assert full.value.response.status_code == 503
        server.close()
        await server.wait_closed()

    run(test)


async def _asked(executor: Executor) -> Any:
    await executor.hello()
    return await executor.ask("Who")


def _listens(pid: int, port: int) -> bool:
    return any(
        each.status == psutil.CONN_LISTEN and each.laddr.port == port
        for each in psutil.Process(pid).net_connections("tcp")
    )

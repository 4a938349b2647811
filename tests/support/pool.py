"""A real pool for tests, of the module in `tests/children/echo_module.py`, and its executors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from genvm_manager.base.process.backoff import Backoff
from genvm_manager.protocol.framing import HEAD_SIZE, body_size, frame
from genvm_manager.protocol.module_frames import (
    ModuleHello,
    ModuleRequest,
    decode_answer,
    encode_hello,
    encode_request,
)
from genvm_manager.workers.pool import Identity, Listener, Logging, Pool, PoolOrder

from .waiting import TIMEOUT

ECHO = "tests.children.echo_module"
QUICK = Backoff(first_delay=0.01, max_delay=0.02, max_crashes=3)
R = TypeVar("R")


def run(test: Callable[[], Awaitable[R]]) -> R:
    """Run an asynchronous test on its own event loop, with a timeout."""

    async def limited() -> R:
        async with asyncio.timeout(3 * TIMEOUT):
            return await test()

    return asyncio.run(limited())


async def wait_until(fact: Callable[[], Any], within: float = TIMEOUT) -> Any:
    """Wait for a fact and return its first truthy value; fail after so many seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        if value := fact():
            return value
        assert asyncio.get_running_loop().time() < deadline, f"not so within {within} s: {fact}"
        await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Return whether it has ended; process 1 of this machine may be slow to reap a zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class EventList:
    """What a pool logged: events by name, with their fields."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, /, **fields: Any) -> None:
        """Record an event."""
        self.events.append((event, fields))

    warning = error = info

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of all events of a name."""
        return [fields for name, fields in self.events if name == event]


class PoolUnderTest(Pool):
    """`log` and `failures` are what it told its owner."""

    def __init__(  # the same defaults for all tests
        self,
        config: dict[str, Any] | None = None,
        *,
        workers: int = 1,
        module: str = ECHO,
        listener: Listener | None = None,
        backoff: Backoff = QUICK,
        user_error: bool = False,
        allow_empty_backends: bool = False,
        secrets: tuple[str, ...] = (),
        state_folder: str = "/nonexistent",
    ) -> None:
        self.log = EventList()
        self.failures: list[str] = []
        order = PoolOrder(
            identity=Identity("echo", f"/test/{os.getpid()}"),
            module=module,
            config=msgspec.json.encode(config or {}),
            workers=workers,
            allow_empty_backends=allow_empty_backends,
            user_error=user_error,
            logging=Logging("info", "console", state_folder, secrets),
            listener=listener,
        )
        super().__init__(order, self.log, lambda _, reason: self.failures.append(reason), backoff)

    @property
    def pids(self) -> list[int]:
        """The pids of the workers."""
        return [worker.pid for worker in self.workers if worker.pid is not None]

    async def executor(self) -> StreamExecutor:
        """Open a connection."""
        return await StreamExecutor.of(self.connect())

    async def greeted(self, genvm_id: int = 7) -> StreamExecutor:
        """Open a connection and send the first frame."""
        executor = await self.executor()
        await executor.hello(genvm_id)
        return executor


@contextlib.asynccontextmanager
async def running_pool(*arguments: Any, **options: Any) -> AsyncIterator[PoolUnderTest]:
    """Start a pool; stop it at the end, when nothing of it may be left."""
    pool = PoolUnderTest(*arguments, **options)
    await pool.start()
    try:
        yield pool
    finally:
        pids = pool.pids
        await pool.stop(5)
    assert all(is_gone(pid) for pid in pids)


class Executor(ABC):
    """An executor's side of a connection."""

    @abstractmethod
    async def send(self, body: bytes) -> None:
        """Send a frame's body."""

    @abstractmethod
    async def receive(self) -> bytes | None:
        """Return the next frame's body, or None at the end of the stream."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection."""

    async def hello(self, genvm_id: int = 7, **host_data: Any) -> None:
        """Send the first frame."""
        await self.send(encode_hello(ModuleHello(genvm_id, host_data)))

    async def request(self, name: str, payload: Any = None) -> None:
        """Send a request."""
        await self.send(encode_request(ModuleRequest(name, payload)))

    async def answer(self) -> Any:
        """Return the next answer's value, or raise its fault."""
        body = await self.receive()
        assert body is not None, "the stream ended"
        return decode_answer(body)

    async def ask(self, name: str, payload: Any = None) -> Any:
        """Send a request and return its answer."""
        await self.request(name, payload)
        return await self.answer()


class StreamExecutor(Executor):
    """An executor on a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def of(cls, connection: socket.socket) -> StreamExecutor:
        """Return the executor of a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=connection))

    async def send(self, body: bytes) -> None:
        """Send a frame."""
        self.writer.write(frame(body))
        await self.writer.drain()

    async def receive(self) -> bytes | None:
        """Return the next frame's body, or None at the end of the stream."""
        try:
            head = await self.reader.readexactly(HEAD_SIZE)
            return await self.reader.readexactly(body_size(head))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class WebSocketExecutor(Executor):
    """An executor on a WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    @classmethod
    async def at(cls, port: int, **options: Any) -> WebSocketExecutor:
        """Connect to a port of loopback."""
        return cls(await connect(f"ws://127.0.0.1:{port}", max_size=None, **options))

    async def send(self, body: bytes) -> None:
        """Send a message."""
        await self.connection.send(body)

    async def receive(self) -> bytes | None:
        """Return the next message, or None at the end of the stream."""
        try:
            received = await self.connection.recv()
        except ConnectionClosed:
            return None
        assert isinstance(received, bytes)
        return received

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

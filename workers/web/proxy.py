"""What stands between the browser and the network: each connection of a page is checked here.

A page's URLs are read by the browser, so its reading of them is not trusted: what counts is the
host and port that it asks this proxy to reach (spec 05, safety).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .faults import CONNECTION_FAILED, MALFORMED_URL, WebFault
from .network import Network
from .urls import parse

_HEAD_LIMIT = 64 << 10
_HEAD_PATIENCE = 15.0
_CHUNK = 64 << 10
_MOST_CONNECTIONS = 128

_FOR_US = (b"proxy-connection:", b"proxy-authorization:", b"connection:", b"keep-alive:")

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PageProxy:
    """The proxy of one page, on a port of its own on loopback."""

    def __init__(self, network: Network, byte_limit: int) -> None:
        """`byte_limit` is what the page may load in all."""
        self._network = network
        self._left = byte_limit
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.refusals: dict[tuple[str, int], WebFault] = {}
        """Why a connection was refused, by host and port."""

    async def open(self) -> str:
        """Listen; gives the address for the browser."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_LIMIT)
        return "http://{}:{}".format(*self._server.sockets[0].getsockname())

    async def close(self) -> None:
        """Cut all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_exhausted(self) -> bool:
        """Whether the page has loaded all it may."""
        return self._left <= 0

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._relay(reader, writer)
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_PATIENCE)
        line, _, fields = head.partition(b"\r\n")
        try:
            there, greeting = await self._connect(line, fields)
        except WebFault as fault:
            writer.write(_refusal(fault))
            await writer.drain()
            return
        try:
            if line.startswith(b"CONNECT "):
                writer.write(greeting)
            else:
                there[1].write(greeting)
            await self._join((reader, writer), there)
        finally:
            there[1].transport.abort()

    async def _connect(self, line: bytes, fields: bytes) -> tuple[_Streams, bytes]:
        """The connection that a request's head asks for, and what to say on it first: to the
        browser for a tunnel, else to the server."""
        method, _, rest = line.decode("latin-1").partition(" ")
        asked, _, version = rest.rpartition(" ")
        if method == "CONNECT":
            host, port = _split(asked)
            return await self._reach(host, port), b"HTTP/1.1 200 Connection established\r\n\r\n"
        target = parse(asked)
        head = [f"{method} {target.path} {version}".encode("latin-1")]
        head += [
            field for field in fields.split(b"\r\n")[:-2] if not field.lower().startswith(_FOR_US)
        ]
        # The next request on this connection may be for another host: there is to be none.
        head += [b"Connection: close", b"", b""]
        return await self._reach(target.host, target.port), b"\r\n".join(head)

    async def _reach(self, host: str, port: int) -> _Streams:
        try:
            return await self._network.reach(host, port, _dial)
        except WebFault as fault:
            self.refusals[host, port] = fault
            raise

    async def _join(self, browser: _Streams, there: _Streams) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._copy(browser[0], there[1], counted=False))
            both.create_task(self._copy(there[0], browser[1], counted=True))

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        with suppress(OSError):
            while part := await source.read(_CHUNK):
                if counted:
                    self._left -= len(part)
                    if self.is_exhausted:
                        break
                sink.write(part)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()


async def _dial(address: str, port: int) -> _Streams:
    return await asyncio.open_connection(address, port)


def _split(authority: str) -> tuple[str, int]:
    host, _, port = authority.rpartition(":")
    if not port.isascii() or not port.isdigit() or len(port) > 5:
        raise WebFault(MALFORMED_URL, authority, "expected host:port")
    return host, int(port)


def _refusal(fault: WebFault) -> bytes:
    status = b"502 Bad Gateway" if fault.code == CONNECTION_FAILED else b"403 Forbidden"
    body = f"{fault.code}: {fault.reason}\n".encode()
    return (
        b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%s" % (status, len(body), body)
    )

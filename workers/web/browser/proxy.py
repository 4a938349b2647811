"""The proxy between the browser and the network, which checks each connection of a page.

The browser's own parsing of URLs is not trusted: the host and port that it requests from this proxy
are checked (docs/spec/05-modules.md#safety).
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from genvm_manager.workers.web.faults import MALFORMED_URL, WebFault
from genvm_manager.workers.web.network import Network
from genvm_manager.workers.web.urls import Target, parse

_HEAD_LIMIT = 64 << 10
_HEAD_TIMEOUT = 15.0
_CHUNK = 64 << 10
_MOST_CONNECTIONS = 128
_MOST_REFUSALS = 1_000
_MOST_LINES = 256
"""Header lines of interim answers before the final one."""

_PROXY_HEADERS = (b"proxy-connection:", b"proxy-authorization:", b"connection:", b"keep-alive:")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r?\n")
_INTERIM = (b"100", b"102", b"103")
_LAST = b"Connection: close\r\n"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PageProxy:
    """The proxy of one page, on its own port of loopback."""

    def __init__(self, network: Network, byte_limit: int) -> None:
        """Prepare the proxy. `byte_limit`: bytes that may pass in total, in both directions."""
        self._network = network
        self._left = byte_limit
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.exhausted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the byte limit is reached."""

        self.url = ""
        """Its URL for the browser, once it is open."""

        self.refusals: dict[tuple[str, int], WebFault] = {}
        """The faults of refused connections, by host and port."""

    async def open(self) -> None:
        """Start to listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_LIMIT)
        self.url = "http://{}:{}".format(*self._server.sockets[0].getsockname())

    async def close(self) -> None:
        """Close all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _MOST_CONNECTIONS or self.exhausted.done():
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, browser: _Streams) -> None:
        reader, writer = browser
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_HEAD_TIMEOUT):
                    head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"CONNECT "):
                    await self._tunnel(head, browser)
                else:
                    await self._forward(head, browser)
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _tunnel(self, head: bytes, browser: _Streams) -> None:
        try:
            there = await self._reach(*_place(head))
        except WebFault:
            browser[1].write(_REFUSED)
            return
        try:
            browser[1].write(_ESTABLISHED)
            await self._join(browser, there)
        finally:
            there[1].transport.abort()

    async def _forward(self, head: bytes, browser: _Streams) -> None:
        """Forward one request and its answer.

        A refusal looks like a server that closes the connection, so that the page learns nothing
        about the internal network.
        """
        try:
            target, request = _request(head)
            there = await self._reach(target.host, target.port)
        except WebFault:
            return
        try:
            there[1].write(request)
            await self._join(browser, there, is_answer=True)
        finally:
            there[1].transport.abort()

    async def _reach(self, host: str, port: int) -> _Streams:
        try:
            return await self._network.reach(host, port, _dial)
        except WebFault as fault:
            if len(self.refusals) < _MOST_REFUSALS:
                self.refusals[host, port] = fault
            raise

    async def _join(self, browser: _Streams, there: _Streams, *, is_answer: bool = False) -> None:
        """Copy in both directions until the server has sent everything."""
        upward = asyncio.create_task(self._copy(browser[0], there[1]))
        try:
            if not is_answer or await _pass_status(there[0], browser[1]):
                await self._copy(there[0], browser[1])
        finally:
            upward.cancel()
            await asyncio.gather(upward, return_exceptions=True)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await source.read(_CHUNK):
                if not self._count(len(part)):
                    sink.transport.abort()
                    return
                sink.write(part)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()

    def _count(self, passed: int) -> bool:
        """Count passed bytes; return whether more may pass."""
        self._left -= passed
        if self._left <= 0 and not self.exhausted.done():
            self.exhausted.set_result(None)
        return self._left > 0


async def _dial(address: str, port: int) -> _Streams:
    return await asyncio.open_connection(address, port)


async def _pass_status(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> bool:
    """Forward the status line of an answer, followed by `Connection: close`.

    The browser must open a new connection for its next request, so that it is checked as well.
    Return False if it is not an HTTP answer.
    """
    lines = 0
    with suppress(ValueError):
        while status := _STATUS_LINE.fullmatch(line := await source.readline()):
            sink.write(line)
            if status[1] not in _INTERIM:
                sink.write(_LAST)
                return True
            while line not in (b"\r\n", b"\n", b"") and lines < _MOST_LINES:
                line = await source.readline()
                sink.write(line)
                lines += 1
    return False


def _place(head: bytes) -> tuple[str, int]:
    """Return the host and port of a CONNECT request. Raises `WebFault`."""
    authority = head.split(b" ", 2)[1].decode("latin-1")
    host, _, port = authority.rpartition(":")
    if not port.isascii() or not port.isdigit() or len(port) > 5:
        raise WebFault(MALFORMED_URL, authority, "expected host:port")
    return host, int(port)


def _request(head: bytes) -> tuple[Target, bytes]:
    """Return the target of a request, and the request for its server. Raises `WebFault`."""
    line, *fields = head.split(b"\r\n")[:-2]
    method, _, rest = line.decode("latin-1").partition(" ")
    asked, _, version = rest.rpartition(" ")
    target = parse(asked)
    kept = [field for field in fields if not field.lower().startswith(_PROXY_HEADERS)]
    request = [f"{method} {target.path} {version}".encode("latin-1"), *kept]
    return target, b"\r\n".join([*request, b"Connection: close", b"", b""])

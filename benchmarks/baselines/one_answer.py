"""A server that sends the same answer to every request, so that it takes little time itself."""

from __future__ import annotations

import asyncio
import sys

_LENGTH = b"\r\ncontent-length:"


class _Connection(asyncio.Protocol):
    """Answers each request once its body is whole."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            _, _, length = head.partition(_LENGTH)
            whole = end + 4 + int(length.split(b"\r\n")[0] or 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._transport.write(self._reply)
            if b"\r\nconnection: close" in head:
                self._transport.close()


def serve(kind: str, body: bytes) -> None:
    """Serve at the port that the command line names, for ever."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    reply = head.encode() + body

    async def listen(port: int) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(reply), "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(listen(int(sys.argv[1])))

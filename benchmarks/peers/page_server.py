"""`python -m benchmarks.peers.page_server PORT`: a site of one page, whatever is asked for.

It thinks of nothing else, so that it is not what is measured.
"""

from __future__ import annotations

import asyncio
import sys

_BODY = b"<!doctype html><title>A page</title><h1>A page</h1>" + b"<p>Of some words." * 200
REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class Site(asyncio.Protocol):
    """Answers each request that has no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            self._received = self._received[end + 4 :]
            self._transport.write(REPLY)
            if b"\r\nconnection: close" in head:
                self._transport.close()


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Site, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

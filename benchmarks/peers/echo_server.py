"""`python -m benchmarks.peers.echo_server PATH`: asyncio on a Unix socket, bytes go back."""

from __future__ import annotations

import asyncio
import sys

SIZE = 200


class Echo(asyncio.Protocol):
    """Gives back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def main(path: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(Echo, path)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

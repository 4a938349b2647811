"""An echo server of asyncio on a Unix socket: `python -m benchmarks.baselines.echo_server PATH`."""

from __future__ import annotations

import asyncio
import sys

SIZE = 200


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Send the data back."""
        self._transport.write(data)


async def main(path: str) -> None:
    """Serve at a path for ever."""
    server = await asyncio.get_running_loop().create_unix_server(Echo, path)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""A service manager for tests: hears what is told to it, as systemd would."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from .waiting import TIMEOUT

WATCHDOG = 0.6


class Listener:
    """The end at which systemd would listen."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(TIMEOUT)
        self.environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": str(int(WATCHDOG * 1e6)),
        }

    def hear(self) -> dict[str, str]:
        """Return the next datagram's assignments."""
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def hear_until(self, name: str, value: str) -> dict[str, str]:
        """Return the first datagram with this assignment."""
        while (said := self.hear()).get(name) != value:
            pass
        return said

    def all_heard(self) -> list[dict[str, str]]:
        """Return all datagrams that were received but not read yet."""
        self._socket.setblocking(False)
        heard = []
        with suppress(BlockingIOError):
            while True:
                heard.append(self.hear())
        return heard

    def falls_silent(self) -> bool:
        """Whether nothing more comes within the timeout that it has announced."""
        self._socket.settimeout(WATCHDOG)
        try:
            for _ in range(1000):
                self._socket.recv(4096)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

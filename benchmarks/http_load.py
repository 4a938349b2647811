"""Closed-loop HTTP clients on raw sockets: cheap enough not to limit what is measured."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

RoundTrip = Callable[["Connection"], None]


class Connection:
    """One keep-alive connection; a request is given as its whole bytes.

    Another one is opened when the server says that it closes this one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = self._connected()

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return the status code and the body of the answer."""
        self._socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        head, body = received[:end].lower(), received[end + 4 :]
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self._receive()
        if b"connection: close" in head:
            self._socket.close()
            self._socket = self._connected()
        return int(head[9:12]), body

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _connected(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def _receive(self) -> bytes:
        received = self._socket.recv(1 << 20)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received


def request_bytes(
    method: str, path: str, body: bytes = b"", content_type: str = "application/json"
) -> bytes:
    """Return a whole HTTP/1.1 request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if body:
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@dataclass(frozen=True)
class Load:
    """The result of a load: exchanges per second, and each exchange's seconds, sorted."""

    rate: float
    latencies: list[float]

    def percentile(self, percent: float) -> float:
        """Return that percentile of the latencies, in seconds."""
        return self.latencies[
            min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))
        ]


def run_clients(port: int, exchange: RoundTrip, *, clients: int, seconds: float) -> Load:
    """Let `clients` repeat `exchange`, each on its own connection, for `seconds`."""
    latencies: list[float] = []
    failures: list[BaseException] = []
    ends = time.perf_counter() + seconds

    def client() -> None:
        connection = Connection(port)
        try:
            while (began := time.perf_counter()) < ends:
                exchange(connection)
                latencies.append(time.perf_counter() - began)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Load(len(latencies) / (time.perf_counter() - began), sorted(latencies))

"""The world that the web module meets in tests: sites and a name server on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


@dataclass
class Asked:
    """One request that a site received; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client_port: int


Answer = tuple[int, Mapping[str, str], bytes]
Route = Callable[[Asked], Answer] | Answer | bytes


@dataclass
class Site:
    """An HTTP server: `routes` by path, without the query; what it was asked in `asked`."""

    port: int
    routes: dict[str, Route] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    address: str = "127.0.0.1"

    @property
    def host(self) -> str:
        """The host and port of the site."""
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port}"

    def url(self, path: str = "/") -> str:
        """Return the URL of a path."""
        return f"http://{self.host}{path}"

    def paths(self) -> list[str]:
        """Return the paths that were requested."""
        return [asked.path for asked in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def answer(self) -> None:
        served = self.server.served
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(length)
        asked = Asked(self.command, self.path, headers, body, self.client_address[1])
        served.asked.append(asked)
        route = served.routes.get(self.path.partition("?")[0], (404, {}, b"not here"))
        found = route(asked) if callable(route) else route
        status, sent, body = (200, {}, found) if isinstance(found, bytes) else found
        self.send_response(status)
        for name, value in {"content-type": "text/html; charset=utf-8", **sent}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, served: Site, port: int, tls: ssl.SSLContext | None) -> None:
        self.served = served
        self._tls = tls
        self.address_family = socket.AF_INET6 if ":" in served.address else socket.AF_INET
        super().__init__((served.address, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for our own name."""
        TCPServer.server_bind(self)
        name, self.server_port = self.server_address[:2]
        assert isinstance(name, str)
        self.server_name = name

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve on the connection's own thread, as a handshake takes the client's time."""
        if self._tls is not None:
            request = self._tls.wrap_socket(request, server_side=True)
        with contextlib.closing(request):
            super().finish_request(request, client_address)

    def handle_error(self, *_: object) -> None:
        """Ignore a client that disconnects: that is part of the tests."""


@contextlib.contextmanager
def site(
    routes: Mapping[str, Route],
    address: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Site]:
    """Serve routes for as long as the context is entered; over TLS where there is a context."""
    served = Site(0, dict(routes), address=address)
    server = _Server(served, port, tls)
    served.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
"""What a hostile server sends after an answer, to be taken for the next one."""


@contextlib.contextmanager
def talker(talk: Callable[[socket.socket], None]) -> Iterator[Site]:
    """Run a server that calls `talk` for each connection, in a thread."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            talk(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=listening.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield Site(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def heard(connection: socket.socket) -> bytes:
    """Return the head of the next request; empty when the client has disconnected."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (part := connection.recv(1)):
        head += part
    return head


@dataclass
class NameServer:
    """A DNS server. `zone` gives for each name the answers, one list for each time it is asked; the
    last one stays. `asked` counts the questions for IPv4 addresses by name."""

    address: str
    zone: dict[str, list[list[str]]]
    asked: dict[str, int] = field(default_factory=dict)
    fails_for: set[str] = field(default_factory=set)
    """Kinds of questions, `A` or `AAAA`, that it answers with a failure of its own."""

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """Return the reply to a DNS query."""
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        question = query.question[0]
        name, kind = str(question.name).rstrip(".").lower(), question.rdtype.name
        number = self.asked.get(name, 0)
        answers = self.zone.get(name, [[]])
        current = answers[min(number, len(answers) - 1)]
        if kind == "A":
            self.asked[name] = number + 1
        if kind in self.fails_for:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        fitting = [one for one in current if (":" in one) == (kind == "AAAA")]
        if kind in ("A", "AAAA") and fitting:
            reply.answer.append(dns.rrset.from_text(question.name, 0, "IN", kind, *fitting))
        return reply


@contextlib.contextmanager
def name_server(zone: dict[str, list[list[str]]]) -> Iterator[NameServer]:
    """Answer questions over UDP for as long as the context is entered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        served = NameServer(f"127.0.0.1:{listening.getsockname()[1]}", zone)

        def serve() -> None:
            while True:
                packet, client = listening.recvfrom(4096)
                if not packet:
                    return
                reply = served.answer(dns.message.from_wire(packet))
                listening.sendto(reply.to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield served
        finally:
            listening.sendto(b"", listening.getsockname())
            thread.join()

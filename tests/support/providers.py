"""Providers of language models, played by real HTTP servers on loopback.

    with provider("openai-compatible") as openai:
        openai.say("a sunny day", "another one")
        config = module_config({"openai": openai.backend()})
        ...
        assert openai.asked[0].user == "what is the weather?"

Each speaks its provider's documented format (`provider_formats`), knows one key, and answers with
what `say` and `do` put into its queue, one after the other; with an empty queue it does what
`by_default` says. A request that the provider would not take is answered as it would answer, and
fails the test when the provider closes.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .provider_formats import FORMATS, Asked, Format, Refused
from .waiting import TIMEOUT

DEADLINE = TIMEOUT


@dataclass(frozen=True)
class Say:
    """A good answer."""

    text: str


@dataclass(frozen=True)
class Fail:
    """An error in the provider's form."""

    status: int
    message: str = "something went wrong"
    retry_after: str | None = None


@dataclass(frozen=True)
class Raw:
    """A body as it is, with status 200."""

    body: bytes


@dataclass(frozen=True)
class Cut:
    """The connection ends: before anything is said, or in the middle of the body."""

    in_body: bool = False


@dataclass(frozen=True)
class Flood:
    """A body of so many bytes; it stops as soon as the client does."""

    size: int


@dataclass(frozen=True)
class Hang:
    """Nothing is said until the client goes away, or `released` is set."""

    released: threading.Event = field(default_factory=threading.Event, repr=False)
    then: str = "at last"


Reply = Say | Fail | Raw | Cut | Flood | Hang


class PlayedProvider:
    """One provider. `asked` are the requests it took, in order; `wrong` those it refused."""

    def __init__(self, speaks: Format, key: str) -> None:
        self.speaks = speaks
        self.key = key
        self.asked: list[Asked] = []
        self.wrong: list[str] = []
        self.hung_up = threading.Semaphore(0)
        """Released each time that a client went away from a `Hang`."""

        self.by_default: Callable[[Asked], Reply] = lambda _: Say("fine")
        self._queue: deque[Reply] = deque()
        self._lock = threading.Lock()
        self.port = 0

    @property
    def host(self) -> str:
        """The provider's URL."""
        return f"http://127.0.0.1:{self.port}"

    def say(self, *texts: str) -> None:
        """Answer the next requests with these."""
        self.do(*map(Say, texts))

    def do(self, *queued: Reply) -> None:
        """Treat the next requests so."""
        self._queue.extend(queued)

    def backend(self, *, priority: float = 0, key: str | None = None, **model: Any) -> Any:
        """Return this provider as an entry of `backends`, with one model."""
        settings = {"supports_json": True, "supports_image": True, **model}
        return {
            "host": self.host,
            "provider": self.speaks.provider,
            "key": self.key if key is None else key,
            "models": {"test-model": settings},
            "meta": {"priority": priority},
        }

    def reply_to(self, asked: Asked) -> Reply:
        """Record a request and return the next reply."""
        with self._lock:
            self.asked.append(asked)
            return self._queue.popleft() if self._queue else self.by_default(asked)


def module_config(backends: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return a configuration of the LLM module with these backends."""
    return {"timeout": "20s", **settings, "backends": backends}


@contextlib.contextmanager
def provider(
    kind: str, key: str = "sk-test-0123456789abcdef", *, may_be_asked_wrongly: bool = False
) -> Iterator[PlayedProvider]:
    """Run a provider of a kind: `openai-compatible`, `anthropic`, `google` or `ollama`."""
    played = PlayedProvider(FORMATS[kind](), key)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.played = played
    played.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield played
    finally:
        server.is_closing.set()
        server.shutdown()
        server.hang_up()
        server.server_close()
        thread.join(DEADLINE)
    assert may_be_asked_wrongly or not played.wrong, played.wrong


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    played: PlayedProvider

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnects."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        played = self.server.played
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            played.speaks.check_key(headers, played.key)
            asked = self._parse(headers, body)
        except Refused as refused:
            played.wrong.append(str(refused))
            self._send(refused.status, played.speaks.error(refused.status, str(refused)))
            return
        self._perform(played.reply_to(asked), asked)

    def _parse(self, headers: dict[str, str], body: bytes) -> Asked:
        if headers.get("content-type") != "application/json":
            raise Refused(415, "content-type: expected application/json")
        try:
            value = json.loads(body)
        except ValueError:
            raise Refused(400, "the body is not JSON") from None
        return self.server.played.speaks.parse(self.path, value)

    def _perform(self, reply: Reply, asked: Asked) -> None:
        speaks = self.server.played.speaks
        match reply:
            case Say(text):
                self._send(200, speaks.answer(asked, text))
            case Fail(status, message, retry_after):
                extra = {} if retry_after is None else {"retry-after": retry_after}
                self._send(status, speaks.error(status, message), **extra)
            case Raw(body):
                self._send_bytes(200, body)
            case Hang(released, then):
                if self._wait(released):
                    self._send(200, speaks.answer(asked, then))
            case Flood(size):
                self._flood(size)
            case Cut(in_body):
                if in_body:
                    self._head(200, 1_000)
                    self.wfile.write(b'{"half": ')
                self.close_connection = True

    def _wait(self, released: threading.Event) -> bool:
        """Whether it was released, and not the client gone or the server closed."""
        self.connection.settimeout(0.02)
        while not self.server.is_closing.is_set():
            if released.is_set():
                self.connection.settimeout(None)
                return True
            try:
                is_gone = not self.connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
            except OSError:
                is_gone = True
            if is_gone:
                self.server.played.hung_up.release()
                break
        self.close_connection = True
        return False

    def _flood(self, size: int) -> None:
        self._head(200, size)
        piece = b" " * (1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(size >> 20):
                self.wfile.write(piece)
        self.close_connection = True

    def _send(self, status: int, body: dict[str, Any], **headers: str) -> None:
        self._send_bytes(status, json.dumps(body, ensure_ascii=False).encode(), **headers)

    def _send_bytes(self, status: int, body: bytes, **headers: str) -> None:
        self._head(status, len(body), **headers)
        self.wfile.write(body)

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

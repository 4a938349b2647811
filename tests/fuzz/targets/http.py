"""HTTP: requests to every operation, with odd bodies, broken heads, parts that are late."""

from __future__ import annotations

import json
import re
import socket
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

import psutil

from genvm_manager.manager.api.declaration.content import BYTES
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.operations import OPERATIONS
from genvm_manager.protocol import calldata
from tests.fuzz import client_stream, odd_values
from tests.fuzz.client_stream import ClientStream, cut_up, damaged
from tests.fuzz.json_text import Pairs, Raw, json_text, nested, odd_json
from tests.fuzz.observation import Observation
from tests.fuzz.service_watch import LogWatch, ProcessUse
from tests.fuzz.target import Target, Tester
from tests.support.operations import example_of
from tests.support.service import RunningService, run_request

ANSWER = 40.0
"""Seconds for a reply, and for the end of a connection that we have closed on our side."""

PAUSE = 0.01
MAX_SECONDS = 10.0
"""Of processor time for one input."""

MAX_MEMORY = 512 << 20
"""Bytes by which the service may have grown, in the end."""

_CONFIG = "{http_workers: 2, http_threads: 32, permits: {total: 4}, max_queued: 50}"
_SLOW = ("/module/start", "/module/restart", "/llm/check", "/genvm/run/readonly", "/env")
"""They start processes; `/env` is for all who come after."""

_ENDS_A_HEADER = re.compile("[\r\n\0]")
_OURS = re.compile(rb'{"error":"internal error|<h1>Internal Server Error|Traceback')
_ERROR = re.compile(rb'{"error":"([a-z_.]{1,24}|)')
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


# ---------------------------------------------------------------------------------------- inputs


def make(random: Random) -> bytes:
    """Return what one client sends."""
    return _client_stream(random).encode()


def _client_stream(random: Random) -> ClientStream:
    kind = random.random()
    request = _request(random)
    if kind < 0.65:
        return ClientStream(cut_up(random, request), True)
    if kind < 0.7:
        requests = [_request(random, closes=False) for _ in range(random.choice([1, 2, 8]))]
        return ClientStream(cut_up(random, b"".join(requests) + request), True)
    if kind < 0.9:
        return damaged(random, request)
    return ClientStream([random.choice(_BROKEN)], False)


def _request(random: Random, *, closes: bool = True) -> bytes:
    operation = random.choice(OPERATIONS)
    if operation.path in _SLOW and random.random() < 0.9:
        operation = next(each for each in OPERATIONS if each.path == "/genvm/run")
    example = example_of(operation)
    path, headers = example.path, {"Host": "localhost", **example.headers}
    query = {
        parameter.name: random.choice(
            ["0", "1", "-1", "abc", "1e400", odd_values.encodable(random)]
        )
        for parameter in operation.parameters
        if parameter.place == "query" and random.random() < 0.7
    }
    if random.random() < 0.2 and "{" in operation.path:
        path = re.sub(r"{\w+}", quote(odd_values.encodable(random, 64), safe=""), operation.path)
    if query:
        path += "?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())
    body = b""
    if operation.bodies:
        body, media_type = _body(random, operation)
        headers["Content-Type"] = media_type
    if random.random() < 0.15:
        headers[random.choice(_ODD_HEADERS)] = odd_values.encodable(random, 128)
    if closes:
        headers["Connection"] = "close"
    method = operation.method if random.random() < 0.95 else random.choice(_METHODS)
    return _encoded(random, method, path, headers, body)


def _encoded(random: Random, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    is_chunked = bool(body) and random.random() < 0.15
    if is_chunked:
        headers["Transfer-Encoding"] = "chunked"
        body = _chunks(random, body)
    elif body:
        headers["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {_ENDS_A_HEADER.sub(' ', value)}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _chunks(random: Random, body: bytes) -> bytes:
    size = max(1, len(body) // random.choice([1, 2, 7]))
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _body(random: Random, operation: Operation) -> tuple[bytes, str]:
    """Return a body, and the media type that it is sent with."""
    declared = random.choice(operation.bodies)
    if random.random() < 0.05:
        return _large(random), declared.media_type
    if declared.media_type == BYTES and operation.path == "/genvm/run":
        return _run_in_calldata(random), BYTES
    if declared.media_type == BYTES:
        return odd_values.some_bytes(random, 3000), BYTES
    value: Any = json.loads(json.dumps(declared.example))
    if operation.path == "/genvm/run":
        value = _run_in_json()
    if isinstance(value, dict):
        value = _with_odd_fields(random, value)
    elif random.random() < 0.5:
        value = [odd_json(random)]
    if random.random() < 0.1:
        value = odd_json(random)
    body = json_text(value).encode("utf-8", "surrogatepass")
    if random.random() < 0.1:
        body = random.choice([b"\xef\xbb\xbf" + body, body.decode().encode("utf-16"), body + b" x"])
    return body, declared.media_type


def _with_odd_fields(random: Random, value: dict[str, Any]) -> Pairs:
    pairs = list(value.items())
    for _ in range(random.choice([0, 1, 1, 2, 5])):
        name = random.choice([*value, odd_values.text(random)])
        pairs = [pair for pair in pairs if pair[0] != name or random.random() < 0.3]
        pairs.append((name, odd_json(random)))
    return Pairs(pairs)


def _run_in_calldata(random: Random) -> bytes:
    value = run_request({}, timestamp="2026-02-03T04:05:06Z")
    for _ in range(random.choice([0, 1, 1, 3])):
        value[random.choice(sorted(value))] = odd_values.calldata_value(random)
    encoded = calldata.encode(value)
    return odd_values.mutated(random, encoded) if random.random() < 0.3 else encoded


def _run_in_json() -> dict[str, Any]:
    value = run_request({}, timestamp="2026-02-03T04:05:06Z")
    value["calldata"] = b64encode(value["calldata"]).decode()
    value["message"] = {
        name: each if isinstance(each, (int, bool)) else f"0x{bytes(each).hex()}"
        for name, each in value["message"].items()
    }
    return value


def _large(random: Random) -> bytes:
    size = random.choice([10_000, 300_000, 2_000_000, 6_000_000])
    match random.randrange(8):
        case 0:
            return b"[" + b"{}," * (size // 3) + b"{}]"
        case 1:
            return b'{"a":"' + b"\\u0000" * (size // 6) + b'"}'
        case 2:
            return b"[" * size
        case 3:
            return bytes(size)
        case 4:
            return b"[" + b"1" * size + b"]"
        case 5:
            return nested(random, 100_000).encode()
        case 6:
            return random.randbytes(size)
        case _:
            return json_text(Pairs([(f"k{at}", Raw("1")) for at in range(size // 20)])).encode()


_METHODS = ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 300, "G\u00e9T"]
_ODD_HEADERS = [
    "Origin", "Host", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Authorization",
    "Sec-Fetch-Site", "Cookie", "Range", "X" * 2000, "Accept", "Content-Type",
    "Deployment-Timestamp", "Content-Encoding", "If-None-Match", "Last-Event-ID",
    "X-Forwarded-For", "Connection", "Via",
]  # fmt: skip
_POST = b"POST /permits HTTP/1.1\r\nHost: localhost\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_BROKEN = [
    b"", b"\r\n\r\n", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n broken\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\nHost: localhost\n\n", b"\0" * 1000,
    b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET //a/../%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    _POST + b"Content-Length: -1\r\n\r\n{}",
    _POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    _POST + _CHUNKED + b"ffffffffffffffff1\r\n", _POST + _CHUNKED + b"-1\r\n",
    _POST + _CHUNKED + b"2;x=" + b"y" * 70_000,
    _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
    b"GET /%00%ff%c0%af HTTP/1.1\r\nHost: localhost\r\n\r\n",
]  # fmt: skip


# ---------------------------------------------------------------------------------------- trying


@contextmanager
def open_tester() -> Iterator[Tester]:
    """Start a service, yield what tests it, and stop it."""
    with RunningService(config=_CONFIG) as service:
        yield _Tester(service)


class _Tester:
    def __init__(self, service: RunningService) -> None:
        self._service = service
        parts = urlsplit(service.url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._workers = self._living_workers()
        self._use = ProcessUse([*self._workers, service.half("supervisor")])
        self._grown = ProcessUse([*self._workers, service.half("supervisor")])
        self._log = LogWatch(lambda: service.log)

    def __call__(self, inputs: Sequence[bytes]) -> Iterator[Observation]:
        for number, content in enumerate(inputs):
            observation = self._try(client_stream.decode(content))
            if number == len(inputs) - 1:
                observation = observation._replace(
                    faults=(*observation.faults, *self._faults_of_service())
                )
            yield observation

    def _try(self, sent: ClientStream) -> Observation:
        self._use.restart()
        began = time.monotonic()
        try:
            received = self._exchange(sent)
        except TimeoutError:
            outcome, faults = "no answer", [f"no answer within {ANSWER:.0f} s"]
        else:
            outcome, faults = _judged(received, sent)
        seconds, memory = self._use.taken()
        if seconds > MAX_SECONDS:
            took = time.monotonic() - began
            faults.append(f"it took {seconds:.1f} s of processor time, {took:.1f} s in all")
        faults += self._log.faults()
        return Observation(outcome, seconds, memory, tuple(faults))

    def _exchange(self, sent: ClientStream) -> bytes:
        """Return all that comes back, or of a stream of events the first part."""
        with socket.create_connection(self._address, ANSWER) as connection:
            try:
                for part in sent.parts:
                    connection.sendall(part)
                    if len(sent.parts) > 1:
                        time.sleep(PAUSE)
                if not sent.is_whole:
                    connection.shutdown(socket.SHUT_WR)
            except (ConnectionError, TimeoutError):
                pass  # It has heard enough, or streams events; what it says is what counts.
            return _all_received(connection)

    def _faults_of_service(self) -> list[str]:
        faults = []
        if self._living_workers() != self._workers:
            faults.append("an HTTP worker has died")
        if not self._service.http.get("/readyz", timeout=ANSWER).is_success:
            faults.append("the service is not ready any more")
        audit = self._service.http.get("/status", timeout=ANSWER).json().get("audit")
        if audit != "ok":
            faults.append(f"the audit says {audit}")
        grown = self._grown.taken()[1]
        if grown > MAX_MEMORY:
            faults.append(f"the service has grown by {grown >> 20} MiB")
        return faults

    def _living_workers(self) -> set[psutil.Process]:
        return set(self._service.half("http").children())


def _all_received(connection: socket.socket) -> bytes:
    received = bytearray()
    deadline = time.monotonic() + ANSWER
    while time.monotonic() < deadline:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            part = connection.recv(1 << 16)
        except ConnectionError:
            return bytes(received)
        received += part
        if not part or (b"text/event-stream" in received and b"event: status" in received):
            return bytes(received)
    raise TimeoutError


def _judged(received: bytes, sent: ClientStream) -> tuple[str, list[str]]:
    """Return the last status code as a word, and what is wrong with the replies."""
    if not received:
        return "closed", ["the connection ended without a reply"] if sent.is_whole else []
    codes = [int(code) for code in _HEAD.findall(received)]
    faults = []
    if not received.startswith(b"HTTP/1.") or not codes:
        faults.append(f"the reply is none: {received[:80]!r}")
    if found := _OURS.search(received):
        shown = received[max(0, found.start() - 300) : found.end() + 300]
        faults.append(f"the reply tells of a fault of ours: {shown!r}")
    if 503 in codes and b"Retry-After" not in received:
        faults.append("503 without Retry-After")
    if odd := [code for code in codes if code > 503 or code == 502]:
        faults.append(f"the reply has the status {odd[0]}")
    error = _ERROR.findall(received)
    reason = error[-1].decode() if error else ""
    return f"{codes[-1] if codes else 'no status'} {reason}".strip(), faults


TARGET = Target("http", "HTTP requests to a service", make, open_tester, batch=50)

"""Bytes that are no requests: cut off, oversized, random. The service stays and says why."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from genvm_manager.protocol import calldata
from tests.support.service import RunningService, run_request
from tests.support.waiting import TIMEOUT

SEED = 20_260_101


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, http_threads: 8, max_body: 200000}") as running:
        yield running


def exchange(service: RunningService, sent: bytes, *, then_close: bool = True) -> bytes:
    """All that the service answers to raw bytes on a connection of their own."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT) as connection:
        connection.sendall(sent)
        if then_close:
            connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        try:
            while part := connection.recv(1 << 16):
                received += part
        except ConnectionResetError:
            pass
        return bytes(received)


def post(body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"POST /genvm/run HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\nContent-Length: {size}"
    return head.encode() + b"\r\n\r\n" + body


@pytest.fixture(autouse=True)
def _still_serves(service: RunningService) -> Iterator[None]:
    pids = {process.pid for process in service.half("http").children()}
    yield
    assert service.http.get("/readyz").json() == {"status": "ready"}
    assert {process.pid for process in service.half("http").children()} == pids
    assert "Traceback" not in service.log


def test_a_body_cut_off_anywhere_starts_nothing(service: RunningService) -> None:
    body = calldata.encode(run_request())
    before = service.http.get("/status").json()["executions"]
    for size in sorted({0, 1, 2, len(body) // 2, len(body) - 1}):
        said = exchange(service, post(body[:size]))
        assert said.startswith(b"HTTP/1.1 400 ")
        assert b'{"error":"body: not calldata: ' in said
        cut = exchange(service, post(body[:size], length=len(body)))
        assert not cut or cut.startswith(b"HTTP/1.1 400 ")
    assert service.http.get("/status").json()["executions"] == before


def test_random_bodies_are_refused(service: RunningService) -> None:
    dice = random.Random(SEED)
    for size in (1, 2, 3, 10, 100, 1000, 100_000):
        for first in (b"", b"{", b"\x0e"):
            response = service.http.post("/genvm/run", content=first + dice.randbytes(size))
            assert response.status_code == 400
            assert response.json()["error"]


def test_flipped_bytes_never_break_the_service(service: RunningService) -> None:
    dice = random.Random(SEED)
    body = calldata.encode(run_request())
    for _ in range(150):
        broken = bytearray(body)
        for _ in range(dice.randint(1, 3)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        response = service.http.post("/genvm/run", content=bytes(broken))
        assert response.status_code in (200, 400, 500), response.text
        assert "internal" not in response.text
        if response.status_code == 200:
            service.client.get_run(response.json()["id"], wait=TIMEOUT)


@pytest.mark.parametrize("opening", [b"[", b'{"message":', b'{"a":[', b"\x0d"])
def test_deep_nesting_is_refused(service: RunningService, opening: bytes) -> None:
    response = service.http.post("/genvm/run", content=opening * 15_000)
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n", 400),
        (b"GET /status HTTP/9.9\r\n\r\n", 400),
        (b"GET /status\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nBad Header: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /permits HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /permits HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_is_not_http_is_answered_as_json(
    service: RunningService, sent: bytes, code: int
) -> None:
    said = exchange(service, sent)
    assert said.startswith(f"HTTP/1.1 {code} ".encode())
    assert b'{"error":"' in said


def test_random_bytes_on_the_wire(service: RunningService) -> None:
    dice = random.Random(SEED)
    for _ in range(20):
        said = exchange(service, dice.randbytes(dice.randint(1, 5000)))
        assert not said or said.startswith(b"HTTP/1.1 4")


def test_clients_that_do_not_hang_up_hold_nobody_up(service: RunningService) -> None:
    """They linger for two seconds. Were they in the way, no attempt would be answered before; on a
    busy machine one of them is."""
    assert any(is_answered_beside_lingering_clients(service) for _ in range(10))


def is_answered_beside_lingering_clients(service: RunningService) -> bool:
    """Whether another client is answered while they linger."""
    address = urlsplit(service.url)
    with ExitStack() as lingering:
        for _ in range(6):
            connection = lingering.enter_context(
                socket.create_connection((address.hostname, address.port), timeout=TIMEOUT)
            )
            connection.sendall(b"NONSENSE\r\n\r\n")
        try:
            return service.http.get("/healthz", timeout=1.5).is_success
        except httpx.TimeoutException:
            return False

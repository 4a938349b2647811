"""Many clients, and slow, silent and vanishing ones: the rest is served as if they were not there.

The figures are in docs/operations/overload.md.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from genvm_manager.manager.api.limits.timeouts import HEAD_TIMEOUT, STALL_TIMEOUT
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until

MOST = 10
"""How many times longer than in peace an answer may take beside a crowd."""


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    """A default install."""
    with RunningService() as running:
        yield running


@pytest.fixture(scope="module")
def small() -> Iterator[RunningService]:
    """One worker where four may wait for an end and one may send or take in much."""
    with RunningService(config="{http_workers: 1, http_threads: 8, permits: {total: 8}}") as it:
        yield it


@pytest.fixture
def open_connections() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(service: RunningService, stack: ExitStack, sent: str = "") -> socket.socket:
    address = urlsplit(service.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=TIMEOUT)
    connection.sendall(sent.encode())
    return stack.enter_context(connection)


def waiting_request(genvm_id: int) -> str:
    return f"GET /genvm/{genvm_id}?wait=2m HTTP/1.1\r\nHost: localhost\r\n\r\n"


def threads_of(service: RunningService) -> int:
    return sum(worker.num_threads() for worker in service.half("http").children())


def usual_status(service: RunningService) -> float:
    """Seconds that `/status` takes, the median of fifty on kept connections and on new ones. One
    that waited for a client that stands still would take seconds."""
    took = []
    for each in range(50):
        begin = time.monotonic()
        if each % 2:
            assert service.http.get("/status", timeout=TIMEOUT).is_success
        else:
            # Without its certificates, which take longer to load than the answer.
            assert httpx.get(f"{service.url}/status", timeout=TIMEOUT, verify=False).is_success
        took.append(time.monotonic() - begin)
    assert max(took) < min(HEAD_TIMEOUT, STALL_TIMEOUT), "it has waited for somebody"
    return statistics.median(took)


def test_two_hundred_wait_while_status_answers(
    service: RunningService, open_connections: ExitStack
) -> None:
    in_peace = usual_status(service)
    genvm_id = service.start_run({"sleep_ms": 600_000})
    request = waiting_request(genvm_id)
    waiting = [connect(service, open_connections, request) for _ in range(200)]
    wait_until(lambda: threads_of(service) >= 200)
    assert usual_status(service) < MOST * in_peace
    other = service.start_run({"exit": 3})
    assert service.http.get(f"/genvm/{other}?wait=2m").json()["status"]["exit_code"] == 3
    service.client.cancel(genvm_id, grace_ms=1000)
    for connection in waiting:
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        while b'"cause":"cancelled"' not in answer:
            more = connection.recv(65536)
            assert more
            answer += more


def test_silent_and_half_said_hold_nobody_up(
    service: RunningService, open_connections: ExitStack
) -> None:
    in_peace = usual_status(service)
    silent = [connect(service, open_connections) for _ in range(400)]
    halves = ["G", "GET /status HTTP/1.1\r\nHost: local", "POST /permits HTTP/1.1\r\n"]
    silent += [connect(service, open_connections, halves[each % 3]) for each in range(1600)]
    assert usual_status(service) < MOST * in_peace
    for connection in silent:
        connection.settimeout(TIMEOUT)
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            continue
    assert usual_status(service) < MOST * in_peace


def test_one_more_than_may_wait_is_told_to_come_again(
    small: RunningService, open_connections: ExitStack
) -> None:
    genvm_id = small.start_run({"sleep_ms": 600_000})
    waiting = [connect(small, open_connections, waiting_request(genvm_id)) for _ in range(4)]
    path = f"/genvm/{genvm_id}?wait=1ms"
    wait_until(lambda: small.http.get(path).status_code == 503)
    refused = small.http.get(path)
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json() == {
        "error": "4 requests wait for a run to end here already; try again later"
    }
    assert small.http.get(f"/genvm/{genvm_id}").json()["status"] is None
    for connection in waiting:
        connection.close()
    # They had asked to wait for longer than this test does.
    wait_until(lambda: small.http.get(path).status_code == 200)
    small.client.cancel(genvm_id, grace_ms=0)


def test_a_body_that_stands_still_is_given_up(
    small: RunningService, open_connections: ExitStack
) -> None:
    head = "POST /permits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{"
    in_peace = usual_status(small)
    stalled = connect(small, open_connections, head)
    wait_until(lambda: small.http.post("/permits", content=b'{"permits": 8}').status_code == 503)
    assert usual_status(small) < MOST * in_peace
    stalled.settimeout(TIMEOUT)
    assert stalled.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert small.http.post("/permits", content=b'{"permits": 8}').is_success


def test_who_does_not_take_a_large_reply_holds_up_only_those_like_him(
    small: RunningService, open_connections: ExitStack
) -> None:
    genvm_id = small.start_run({"result": bytes(3 << 20)})
    path = f"/genvm/{genvm_id}"
    assert len(small.http.get(f"{path}?wait=30s").content) > 6 << 20

    def has_the_place() -> bool:
        """Take in the first bytes of the reply and no more; false if the place was still taken."""
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        return connect(small, open_connections, request).recv(12) == b"HTTP/1.1 200"

    in_peace = usual_status(small)
    wait_until(has_the_place)
    assert small.http.get(path).status_code == 503
    assert usual_status(small) < MOST * in_peace
    open_connections.close()
    wait_until(lambda: small.http.get(path).is_success)


def test_a_pipelined_request_is_served(small: RunningService, open_connections: ExitStack) -> None:
    request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection = connect(small, open_connections, request * 2 + request[:20])
    received = b""
    while received.count(b'{"status":"alive"}') < 2:
        received += connection.recv(4096)
    connection.sendall(request[20:].encode())
    while received.count(b'{"status":"alive"}') < 3:
        received += connection.recv(4096)


def test_who_says_no_more_but_reads_is_answered(
    small: RunningService, open_connections: ExitStack
) -> None:
    connection = connect(small, open_connections, "GET /status HTTP/1.0\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(4096).startswith(b"HTTP/1.0 200 OK")


def test_a_worker_without_descriptors_drops_silent_clients(open_connections: ExitStack) -> None:
    with RunningService(config="{http_workers: 1}") as service:
        worker = service.half("http").children()[0]
        worker.rlimit(psutil.RLIMIT_NOFILE, (80, 80))
        in_peace = usual_status(service)
        for _ in range(200):
            connect(service, open_connections)
        assert usual_status(service) < MOST * in_peace
        assert service.half("http").children() == [worker]

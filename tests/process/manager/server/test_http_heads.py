"""Heads of requests that are too long or malformed, and a worker without descriptors."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import count, islice
from pathlib import Path

import psutil
import pytest

from genvm_manager.manager.server.gunicorn_worker import MAX_HEAD
from tests.support.service import RunningService
from tests.support.waiting import wait_until

BEGIN = b"GET /status HTTP/1.1\r\nHost: localhost\r\n"
LAST = BEGIN + b"Connection: close\r\n\r\n"
TOO_LONG = b"a" * (MAX_HEAD + 100_000)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    token = tmp_path_factory.mktemp("token") / "token"
    token.touch(0o600)
    token.write_text("a-token-that-nobody-has-sent")
    options = ("--no-precompile", "--token-file", str(token))
    with RunningService(*options, config="http_workers: 1") as running:
        yield running


def exchange(service: RunningService, sent: bytes) -> bytes:
    """All that the service answers until it closes."""
    host, _, port = service.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as client:
        client.settimeout(30)
        client.sendall(sent)
        received = b""
        while part := client.recv(1 << 16):
            received += part
    return received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (BEGIN + b"X: " + TOO_LONG + b"\r\n\r\n", 431),
        (BEGIN + b"X: " + TOO_LONG, 431),
        (BEGIN + b"X: aaaa\r\n" * 80 + b"\r\n", 431),
        (BEGIN + (b"X: " + b"a" * 4_000 + b"\r\n") * 100 + b"\r\n", 431),
        (BEGIN + b"X: " + b"a" * 5_000 + b"\r\n\r\n", 431),
        (BEGIN + b"X" * len(TOO_LONG), 431),
        (b"GET /" + TOO_LONG + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /" + TOO_LONG, 414),
        (TOO_LONG, 414),
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"\r\n" * len(TOO_LONG), 400),
        (bytes(range(256)) * 2_000, 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (BEGIN + b"Content-Length: +5\r\n\r\n", 400),
        (BEGIN + b"Content-Length: \xb2\r\n\r\n", 400),
        (BEGIN + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
        (BEGIN + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
        (BEGIN + b" folded\r\n\r\n", 400),
    ],
)
def test_a_head_that_cannot_be_read_is_answered_before_anything_is_asked(
    service: RunningService, sent: bytes, status: int
) -> None:
    head, _, body = exchange(service, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert len(json.loads(body)["error"]) < 300
    assert "Traceback" not in service.log
    # On a connection that was of use before as well.
    twice = exchange(service, BEGIN + b"\r\n" + sent)
    assert twice.startswith(b"HTTP/1.1 401 ")
    assert b"HTTP/1.1 %d " % status in twice


def leave_descriptors(worker: psutil.Process, free: int) -> tuple[int, int]:
    """Have the worker open so many more files at the most; gives its limits before."""
    before = worker.rlimit(psutil.RLIMIT_NOFILE)
    taken = {int(each.name) for each in Path(f"/proc/{worker.pid}/fd").iterdir()}
    unused = (number for number in count() if number not in taken)
    limit = next(islice(unused, free, None))
    worker.rlimit(psutil.RLIMIT_NOFILE, (limit, before[1]))
    return before


def assert_refused(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 "), head
    assert b"\r\nRetry-After: 1" in head
    assert json.loads(body)["error"]


def test_a_worker_without_descriptors_refuses_and_recovers() -> None:
    with RunningService("--no-precompile", config="http_workers: 1") as service:
        worker = service.half("http").children()[0]
        service.http.close()
        wait_until(lambda: len(worker.net_connections("tcp")) == 1)
        before = leave_descriptors(worker, 0)
        for _ in range(3):
            assert_refused(exchange(service, LAST))
        worker.rlimit(psutil.RLIMIT_NOFILE, before)
        assert exchange(service, LAST).startswith(b"HTTP/1.1 200 ")
        assert service.half("http").children() == [worker]
        assert "Traceback" not in service.log


def test_a_request_for_which_nothing_can_be_opened_is_refused_and_others_go_on() -> None:
    """One of two has the connection to the supervisor, and there can be no other."""
    with RunningService("--no-precompile", config="http_workers: 1") as service:
        worker = service.half("http").children()[0]
        assert service.http.get("/status").status_code == 200
        service.http.close()
        wait_until(lambda: len(worker.net_connections("tcp")) == 1)
        supervisor = service.half("supervisor")
        supervisor.suspend()
        try:
            before = leave_descriptors(worker, 2)
            with ThreadPoolExecutor(2) as threads:
                asked = [threads.submit(exchange, service, LAST) for _ in range(2)]
                refused = next(as_completed(asked, 30)).result()
                supervisor.resume()
                assert_refused(refused)
                answers = sorted(each.result() for each in asked)
        finally:
            supervisor.resume()
        assert answers[0].startswith(b"HTTP/1.1 200 ")
        worker.rlimit(psutil.RLIMIT_NOFILE, before)
        assert exchange(service, LAST).startswith(b"HTTP/1.1 200 ")
        assert service.half("http").children() == [worker]
        assert "Traceback" not in service.log

"""HTTP while the supervisor is gone, and after it is back (spec 01, errors: 503)."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from manager.openapi.operations import OPERATIONS
from tests.support.operations import example_of
from tests.support.service import RunningService, wait_until


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, http_threads: 8}") as running:
        yield running


def test_a_killed_supervisor_is_503_until_it_is_back(service: RunningService) -> None:
    workers = {process.pid for process in service.half("http").children()}
    assert service.http.get("/status").is_success
    # Its parent is held, so that nobody starts another one before we have looked.
    service.process.suspend()
    try:
        service.half("supervisor").send_signal(signal.SIGKILL)
        wait_until(lambda: service.http.get("/status").status_code == 503)
        for operation in OPERATIONS:
            response = example_of(operation).send(service.http)
            if 503 not in operation.errors:
                assert response.is_success
                continue
            assert response.status_code == 503, operation
            assert int(response.headers["Retry-After"]) >= 1
            assert response.json() == {
                "error": "the supervisor cannot be reached; it is restarting or stopped"
            }
        assert service.http.get("/healthz").json() == {"status": "alive"}
    finally:
        service.process.resume()
    wait_until(lambda: service.http.get("/readyz").is_success)
    genvm_id = service.start_run({"exit": 5})
    run = service.client.get_run(genvm_id, wait=30).status
    assert run is not None
    assert run.exit_code == 5
    assert {process.pid for process in service.half("http").children()} == workers


def test_who_waits_is_told_when_the_supervisor_dies(service: RunningService) -> None:
    genvm_id = service.start_run({"sleep_ms": 60_000})
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as client:
        client.sendall(f"GET /genvm/{genvm_id}?wait=60s HTTP/1.1\r\nHost: [::1]\r\n\r\n".encode())
        own_port = client.getsockname()[1]
        worker = service.half("http").children()[0]
        wait_until(
            lambda: own_port in {c.raddr[1] for c in worker.net_connections("tcp4") if c.raddr}
        )
        service.half("supervisor").send_signal(signal.SIGKILL)
        answer = client.recv(4096)
    # Reading is repeated once: it is refused, or answered by the next supervisor.
    assert answer[:13] in (b"HTTP/1.1 200 ", b"HTTP/1.1 503 ")
    wait_until(lambda: service.http.get("/readyz").is_success)


def test_ids_grow_across_supervisors(service: RunningService) -> None:
    before = service.start_run()
    service.half("supervisor").send_signal(signal.SIGKILL)
    wait_until(lambda: service.http.get("/readyz").status_code == 503, within=5)
    wait_until(lambda: service.http.get("/readyz").is_success)
    assert service.start_run() > before

"""HTTP while the supervisor is gone, and after it is back.

Source: docs/spec/01-http-api.md#errors: 503.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from genvm_manager.manager.api.declaration.errors import UNAVAILABLE
from genvm_manager.manager.api.operations import OPERATIONS
from tests.support.operations import example_of
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until


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
            if 503 not in operation.error_cases():
                assert response.is_success
                continue
            assert response.status_code == 503, operation
            assert int(response.headers["Retry-After"]) >= 1
            assert response.json() == UNAVAILABLE.document
        assert service.http.get("/healthz").json() == {"status": "alive"}
    finally:
        service.process.resume()
    wait_until(lambda: service.http.get("/readyz").is_success)
    genvm_id = service.start_run({"exit": 5})
    run = service.client.get_run(genvm_id, wait=TIMEOUT).status
    assert run is not None
    assert run.exit_code == 5
    assert {process.pid for process in service.half("http").children()} == workers

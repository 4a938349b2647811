"""Every error of docs/spec/01-http-api.md's table, over a real service."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed, RunNotFound, Unavailable
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol import calldata
from tests.support.service import RunningService, run_request
from tests.support.waiting import TIMEOUT, wait_until

MAX_BODY = 100_000


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    config = f"{{max_body: {MAX_BODY}, http_workers: 1, permits: {{total: 3}}, max_queued: 1}}"
    with RunningService(config=config) as running:
        yield running


def json_request(**changes: Any) -> dict[str, Any]:
    """A run request as JSON carries it."""
    request = run_request()
    names = ("contract_address", "sender_address", "origin_address")
    request["message"] |= dict.fromkeys(names, "0x" + "01" * 20)
    request["calldata"] = base64.b64encode(request["calldata"]).decode()
    return {name: value for name, value in (request | changes).items() if value is not ...}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("GET", "/status/"),
        ("GET", "/status//"),
        ("POST", "/status"),
        ("OPTIONS", "/status"),
        ("PUT", "/permits"),
        ("DELETE", "/permits"),
        ("GET", "/genvm/run"),
        ("POST", "/genvm/5"),
        ("GET", "/genvm/five"),
        ("GET", "/genvm/-1"),
        ("GET", "/genvm/1.5"),
        ("GET", "/genvm/%D9%A3"),
        ("DELETE", "/genvm/" + "9" * 3_000),
    ],
)
def test_unknown_path_or_wrong_method_is_not_found(
    service: RunningService, method: str, path: str
) -> None:
    response = service.http.request(method, path)
    assert (response.status_code, response.json()) == (404, {"error": "Not Found"})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"major": ...}, "major: missing"),
        ({"message": ...}, "message: missing"),
        ({"calldata": ...}, "calldata: missing"),
        ({"timestamp": ...}, "timestamp: missing"),
        ({"host": ...}, "host: missing"),
        ({"major": "zero"}, "major: expected int, got str"),
        ({"message": 5}, "message: expected object, got int"),
        ({"is_sync": "yes"}, "is_sync: expected bool, got str"),
        ({"host": "ftp://x"}, "host: expected"),
        ({"host": "tcp://a@b:1"}, "host: expected"),
        ({"host": "tcp://a\nb:1"}, "host: expected"),
        ({"permissions": "rwx"}, "permissions: expected"),
        ({"permissions": "r" * 50_000}, "permissions: expected at most 6 letters"),
        ({"extra_args": ["x"] * 20_000}, "extra_args: expected array of length <= 64"),
        ({"debug_mode": "x" * 50_000}, "debug_mode: expected str of length <= 128"),
        ({"selector": {"kind": "x" * 50_000}}, "selector.kind: expected major, version, got 'xxx"),
        ({"timestamp": "yesterday"}, "timestamp: expected RFC 3339"),
        ({"deadline": "soon"}, "deadline: expected a duration"),
        ({"deadline": "0s"}, "deadline: expected more than nothing"),
        ({"max_execution_minutes": -1}, "max_execution_minutes: expected more than nothing"),
        ({"debug_mode": "loud"}, "debug_mode: expected"),
        ({"debug_mode": "unsafe"}, "debug_mode"),
        ({"extra_args": ["--log-fd=9"]}, "extra_args"),
        ({"selector": {"kind": "version"}}, "selector.version: missing"),
        ({"host_genvm_id": ""}, "host_genvm_id: expected"),
        ({"host_genvm_id": 7}, "host_genvm_id: expected str"),
        ({"calldata": "!!"}, "calldata: "),
    ],
)
def test_a_field_at_fault_is_named(
    service: RunningService, changes: dict[str, Any], error: str
) -> None:
    response = service.http.post("/genvm/run", json=json_request(**changes))
    assert response.status_code == 400
    assert error in response.json()["error"]
    assert len(response.content) < 2_200


@pytest.mark.parametrize("form", ["json", "calldata"])
def test_numbers_beyond_any_machine_word_are_refused(service: RunningService, form: str) -> None:
    for number in (1 << 70, -(1 << 70)):
        if form == "json":
            response = service.http.post("/genvm/run", json=json_request(major=number))
        else:
            body = calldata.encode(run_request(major=number))
            response = service.http.post("/genvm/run", content=body)
        assert response.status_code == 400
        assert "major" in response.json()["error"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "body: not JSON"),
        (b"{", "body: not JSON"),
        (b"[1]", "expected object, got array"),
        (b'{"permits": "4"}', "permits: expected int, got str"),
        (b'{"permits": 4.5}', "permits: expected int, got float"),
        (b'{"permits": null}', "permits: expected int, got null"),
        (b'{"permits": 0}', "permits: expected int >= 1"),
        (b'{"permits": 99999999999999999999}', "permits: expected int"),
        (b'{"permit": 4}', "permits: missing"),
        (b'{"permits": 1}', "permits"),
    ],
)
def test_permits_are_validated(service: RunningService, body: bytes, error: str) -> None:
    before = service.client.permits()
    response = service.http.post("/permits", content=body)
    assert response.status_code == 400
    assert error in response.json()["error"]
    assert service.client.permits() == before


@pytest.mark.parametrize(
    ("method", "query", "name"),
    [
        ("GET", "wait=soon", "wait"),
        ("GET", "wait=-1s", "wait"),
        ("GET", "wait=", "wait"),
        ("GET", "bytes=hex", "bytes"),
        ("GET", "outputs=some", "outputs"),
        ("DELETE", "wait_timeout_ms=1.5", "wait_timeout_ms"),
        ("DELETE", "wait_timeout_ms=-1", "wait_timeout_ms"),
        ("DELETE", "wait_timeout_ms=99999999999", "wait_timeout_ms"),
        ("DELETE", "wait_timeout_ms=\u0663", "wait_timeout_ms"),
    ],
)
def test_a_bad_query_is_named(service: RunningService, method: str, query: str, name: str) -> None:
    response = service.http.request(method, f"/genvm/1?{query}")
    assert response.status_code == 400
    assert response.json()["error"].startswith(f"{name}: expected")


@pytest.mark.parametrize("genvm_id", [123456789, 1 << 63, 10**30])
def test_an_unknown_run_is_null_to_read_and_404_to_end(
    service: RunningService, genvm_id: int
) -> None:
    read = service.http.get(f"/genvm/{genvm_id}")
    assert (read.status_code, read.json()) == (200, {"genvm_id": genvm_id, "status": None})
    ended = service.http.delete(f"/genvm/{genvm_id}")
    error = {"error": f"GenVM with id {genvm_id} not found", "genvm_id": genvm_id}
    assert (ended.status_code, ended.json()) == (404, error)


def test_a_body_over_the_cap_is_413(service: RunningService) -> None:
    for path in ("/genvm/run", "/permits") * 5:
        response = service.http.post(path, content=b" " * (MAX_BODY + 1))
        assert response.status_code == 413
        assert response.headers["Connection"] == "close"
        assert "body" in response.json()["error"]

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * (MAX_BODY // 10)

    assert service.http.post("/permits", content=pieces()).status_code == 413
    assert service.http.get("/healthz").json() == {"status": "alive"}


def test_what_cannot_be_done_is_500(service: RunningService) -> None:
    response = service.http.post("/genvm/run", json=json_request(major=7))
    assert response.status_code == 500
    assert "7" in response.json()["error"]
    needing_modules = json_request(
        is_sync=False, host_data=json.dumps({"node_address": "0x", "tx_id": "1"})
    )
    response = service.http.post("/genvm/run", json=needing_modules)
    assert response.status_code == 500
    assert response.json()["error"].startswith("modules are required but not running")


def test_the_typed_client_raises_what_the_service_says(service: RunningService) -> None:
    with pytest.raises(BadRequest, match="host: missing"):
        request = run_request()
        del request["host"]
        service.client.start_run(calldata.encode(request))
    with pytest.raises(RunNotFound, match="GenVM with id 99 not found"):
        service.client.cancel(99)
    with pytest.raises(RequestFailed, match="7"):
        service.start_run(major=7)
    with HttpClient("http://127.0.0.1:1") as nobody, pytest.raises(Unavailable, match="reached"):
        nobody.status()
    with HttpClient("unix:/nowhere.sock") as nobody, pytest.raises(Unavailable, match="reached"):
        nobody.status()


@pytest.fixture
def queued_run(service: RunningService) -> Iterator[bytes]:
    """All permits are taken and one more run waits; gives the body that each of them had."""
    body = calldata.encode(run_request({"sleep_ms": 600_000}))
    ids = [service.client.start_run(body) for _ in range(3)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.client.start_run, body)
        wait_until(lambda: service.client.permits().queued == 1)
        yield body
        for genvm_id in ids:
            service.client.cancel(genvm_id, grace_ms=0)
        service.client.cancel(waiting.result(TIMEOUT), grace_ms=0)


def test_a_full_queue_is_503_with_retry_after(service: RunningService, queued_run: bytes) -> None:
    response = service.http.post("/genvm/run", content=queued_run)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert "error" in response.json()


def test_a_signal_while_a_connection_is_taken_does_not_keep_the_client_from_closing() -> None:
    """What a handler raises may come as httpcore has just taken its lock; nobody gives it back."""
    client = HttpClient("http://127.0.0.1:1")

    def close_what_was_left_locked() -> None:
        client._http._transport._pool._optional_thread_lock.__enter__()  # type: ignore[attr-defined]
        client.close()

    closing = threading.Thread(target=close_what_was_left_locked, daemon=True)
    closing.start()
    closing.join(TIMEOUT)
    assert not closing.is_alive()

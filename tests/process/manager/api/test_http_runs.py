"""The life of a run as HTTP shows it.

Source: docs/spec/01-http-api.md#runs; docs/spec/03-run-request.md#life.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from genvm_manager.protocol import calldata
from tests.support.service import RunningService, run_request
from tests.support.waiting import TIMEOUT

RESULT = bytes(range(256))


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 2, http_threads: 20, permits: {total: 8}}") as it:
        yield it


def finished(service: RunningService, genvm_id: int, query: str = "") -> dict[str, Any]:
    """The `status` object of a run, once it has one."""
    reply = service.http.get(f"/genvm/{genvm_id}?wait=30s{query}").json()
    assert reply["genvm_id"] == genvm_id
    status = reply["status"]
    assert isinstance(status, dict)
    return status


def test_a_finished_run_has_every_field(service: RunningService) -> None:
    records = [{"level": "info", "message": "a"}, {"level": "warn", "message": "b", "n": 1}]
    orders = {"print": "hello", "log": records, "result": RESULT, "sleep_ms": 50}
    before = time.time()
    status = finished(service, service.start_run(orders))
    metrics = status.pop("metrics")
    assert before * 1000 - 1 <= status.pop("finished_at") <= time.time() * 1000 + 1
    assert status.pop("peak_rss_bytes") == metrics["peak_rss_bytes"]
    assert status.pop("cpu_seconds") == metrics["cpu_seconds"] > 0
    assert status.pop("wall_ms") == metrics["wall_ms"] >= 50
    assert metrics["queued_ms"] >= 0
    assert status == {
        "stdout": "hello",
        "stderr": "",
        "genvm_log": records,
        "consumed_result": list(RESULT),
        "version_major": 0,
        "version_minor": 2,
        "cause": "exited",
        "reason": None,
        "exit_code": 0,
        "signal": None,
        "stdout_dropped_bytes": 0,
        "stderr_dropped_bytes": 0,
        "genvm_log_dropped_records": 0,
        "contract_error": None,
    }


def test_reading_is_not_destructive_and_has_two_forms(service: RunningService) -> None:
    genvm_id = service.start_run({"result": RESULT})
    first = finished(service, genvm_id)
    assert finished(service, genvm_id) == first
    as_base64 = finished(service, genvm_id, "&bytes=base64")
    assert base64.b64decode(as_base64.pop("consumed_result")) == RESULT
    assert bytes(first.pop("consumed_result")) == RESULT
    assert as_base64 == first


@pytest.mark.parametrize(
    ("orders", "exit_code", "signal"),
    [({"exit": 7}, 7, None), ({"signal": 9}, None, 9), ({"signal": 11}, None, 11)],
)
def test_exit_code_and_signal_are_told_apart(
    service: RunningService, orders: dict[str, Any], exit_code: int | None, signal: int | None
) -> None:
    status = finished(service, service.start_run(orders))
    assert (status["exit_code"], status["signal"]) == (exit_code, signal)
    assert (status["cause"], status["consumed_result"]) == ("exited", None)


def test_while_it_runs_it_is_null_and_listed(service: RunningService) -> None:
    genvm_id = service.start_run({"sleep_ms": 600_000})
    assert service.http.get(f"/genvm/{genvm_id}").json()["status"] is None
    begin = time.monotonic()
    assert service.http.get(f"/genvm/{genvm_id}?wait=300ms").json()["status"] is None
    assert time.monotonic() - begin >= 0.3
    entry = service.http.get("/status").json()["executions"][str(genvm_id)]
    assert (entry["state"], entry["version"], entry["result"]) == ("running", "v0.2.7", None)
    started_at = datetime.fromisoformat(entry["started_at"])
    assert datetime.fromisoformat(entry["accepted_at"]) <= started_at
    assert entry["cause"] is None
    deadline = datetime.fromisoformat(entry["strict_deadline"])
    assert (deadline - started_at).total_seconds() == pytest.approx(20 * 60, abs=5)
    assert entry["pid"] > 0
    service.client.cancel(genvm_id, grace_ms=1000)
    after = service.http.get("/status").json()["executions"][str(genvm_id)]
    assert (after["state"], after["pid"], after["cause"]) == ("finished", None, "cancelled")
    assert datetime.fromisoformat(after["result"]["finished_at"]) >= started_at


def test_delete_ends_a_run_and_may_be_repeated(service: RunningService) -> None:
    genvm_id = service.start_run({"sleep_ms": 600_000})
    for _ in range(2):
        response = service.http.delete(f"/genvm/{genvm_id}?wait_timeout_ms=5000")
        expected = {"result": "shutdown_completed", "genvm_id": genvm_id}
        assert (response.status_code, response.json()) == (200, expected)
    status = finished(service, genvm_id)
    assert (status["cause"], status["exit_code"], status["signal"]) == ("cancelled", None, 15)


def test_a_deadline_ends_a_run(service: RunningService) -> None:
    status = finished(service, service.start_run({"sleep_ms": 600_000}, deadline="300ms"))
    assert (status["cause"], status["signal"]) == ("deadline", 9)


def test_a_token_starts_one_run_only(service: RunningService) -> None:
    ids = {service.start_run({}, host_genvm_id="token-1") for _ in range(3)}
    assert len(ids) == 1
    assert service.start_run({}, host_genvm_id="token-2") not in ids


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", None, "application/x-www-form-urlencoded"]
)
def test_calldata_bodies(service: RunningService, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    body = calldata.encode(run_request(unknown_field=[1, 2]))
    reply = service.http.post("/genvm/run", content=body, headers=headers).json()
    assert reply == {"result": "started", "id": reply["id"]}
    assert finished(service, reply["id"])["exit_code"] == 0


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        None,
        "application/x-www-form-urlencoded",
        "application/octet-stream",
    ],
)
def test_json_bodies(service: RunningService, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    request = run_request({"exit": 3}, unknown_field=[1, 2])
    request["message"] |= {
        "contract_address": "0x" + "01" * 20,
        "sender_address": base64.b64encode(b"\2" * 20).decode(),
        "origin_address": "0x" + "AB" * 20,
        "value": "0xff",
        "chain_id": "61999",
    }
    request["calldata"] = base64.b64encode(request["calldata"]).decode()
    body = b" \r\n" + json.dumps(request).encode()
    reply = service.http.post("/genvm/run", content=body, headers=headers).json()
    assert finished(service, reply["id"])["exit_code"] == 3


def test_permits_bound_what_runs_at_once(service: RunningService) -> None:
    assert service.http.post("/permits", content=b'{"permits": 2}').json() == {
        "result": "permits_set",
        "permits": 2,
    }
    first = [service.start_run({"sleep_ms": 600_000}) for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(service.start_run, {})
        reply = service.http.get("/permits").json()
        assert reply["permits"] == 0
        assert (reply["max"], reply["in_use"]) == (2, 2)
        for genvm_id in first:
            service.client.cancel(genvm_id, grace_ms=1000)
        assert finished(service, third.result(TIMEOUT))["exit_code"] == 0
    service.client.set_permits(8)

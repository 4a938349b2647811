"""Outputs of a run in parts (docs/spec/01-http-api.md#runs: artifact)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from genvm_manager.base.errors import BadRequest, RunNotFound
from genvm_manager.protocol import calldata
from genvm_manager.protocol.ipc.runs import MAX_ARTIFACT_PART, Artifact, RunState
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until

RECORDS = [{"level": "info", "message": f"record {number}"} for number in range(3)]
TEXT = "".join(f"{number:>9}\n" for number in range(60_000))
"""What the run prints: 600,000 bytes of which no two parts are alike."""


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, permits: {total: 2}}") as running:
        yield running


@pytest.fixture(scope="module")
def genvm_id(service: RunningService) -> int:
    """A finished run that printed `TEXT` and logged `RECORDS`."""
    genvm_id = service.start_run({"print": TEXT, "log": RECORDS})
    assert service.client.get_run(genvm_id, wait=TIMEOUT).status is not None
    return genvm_id


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("", 0, MAX_ARTIFACT_PART),
        ("&offset=0&max_len=10", 0, 10),
        ("&offset=5&max_len=10", 5, 15),
        ("&max_len=0", 0, 0),
        (f"&offset={MAX_ARTIFACT_PART}", MAX_ARTIFACT_PART, 2 * MAX_ARTIFACT_PART),
        ("&max_len=500000", 0, MAX_ARTIFACT_PART),
        (f"&max_len={(1 << 63) - 1}", 0, MAX_ARTIFACT_PART),
        ("&offset=599990", 599_990, 600_000),
        ("&offset=600000", 600_000, 600_000),
        (f"&offset={(1 << 63) - 1}", 600_000, 600_000),
    ],
)
def test_a_part(service: RunningService, genvm_id: int, query: str, start: int, end: int) -> None:
    response = service.http.get(f"/genvm/{genvm_id}/artifact?field=stdout{query}")
    assert response.status_code == 200
    assert response.json() == {
        "genvm_id": genvm_id,
        "field": "stdout",
        "state": "finished",
        "dropped_bytes": 0,
        "total_len": len(TEXT),
        "data_base64": base64.b64encode(TEXT[start:end].encode()).decode(),
    }


def test_all_parts_are_the_whole(service: RunningService, genvm_id: int) -> None:
    whole = b""
    while part := service.client.read_artifact(genvm_id, Artifact.STDOUT, len(whole)).data_base64:
        whole += part
    assert whole.decode() == TEXT


def test_each_output_is_there(service: RunningService, genvm_id: int) -> None:
    log = service.client.read_artifact(genvm_id, Artifact.GENVM_LOG)
    assert json.loads(log.data_base64) == RECORDS
    assert log.total_len == len(log.data_base64)
    stderr = service.client.read_artifact(genvm_id, Artifact.STDERR)
    assert (stderr.total_len, stderr.data_base64) == (0, b"")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "field: missing"),
        ("offset=0", "field: missing"),
        ("field=", "field: expected one of stdout, stderr, genvm_log, result, got ''"),
        ("field=storage", "field: expected one of stdout, stderr, genvm_log, result"),
        ("field=id", "field: expected one of"),
        ("field=STDOUT", "field: expected one of"),
        ("field=%ff", "field: expected one of"),
        ("field=stdout&offset=", "offset: expected"),
        ("field=stdout&offset=-1", "offset: expected"),
        ("field=stdout&offset=1.5", "offset: expected"),
        ("field=stdout&offset=two", "offset: expected"),
        ("field=stdout&offset=\u0663", "offset: expected"),
        (f"field=stdout&offset={1 << 63}", "offset: expected"),
        ("field=stdout&max_len=-1", "max_len: expected"),
        ("field=stdout&max_len=1k", "max_len: expected"),
        ("field=stdout&max_len=" + "9" * 3000, "max_len: expected"),
    ],
)
def test_a_bad_query_is_named(
    service: RunningService, genvm_id: int, query: str, name: str
) -> None:
    response = service.http.get(f"/genvm/{genvm_id}/artifact?{query}")
    assert response.status_code == 400
    assert response.json()["error"].startswith(name)


@pytest.mark.parametrize("genvm_id", [0, 123456789, (1 << 63) - 1, 1 << 63, 10**30])
def test_an_unknown_run_is_404(service: RunningService, genvm_id: int) -> None:
    response = service.http.get(f"/genvm/{genvm_id}/artifact?field=stdout")
    error = {"error": f"GenVM with id {genvm_id} not found", "genvm_id": genvm_id}
    assert (response.status_code, response.json()) == (404, error)


class OutputReader:
    """Reads an output that grows, by its place in the whole of it."""

    def __init__(self, service: RunningService, genvm_id: int, field: Artifact) -> None:
        self._read = partial(service.client.read_artifact, genvm_id, field)
        self.seen = b""
        self.missed = 0
        self._dropped = 0

    def read(self) -> RunState:
        """Take in what is new; the state of the run."""
        place = self.missed + len(self.seen)
        part = self._read(max(0, place - self._dropped))
        gap = part.dropped_bytes + max(0, place - self._dropped) - place
        self._dropped = part.dropped_bytes
        if gap > 0 and part.dropped_bytes <= place:
            return self.read()
        self.missed += gap
        self.seen += part.data_base64
        return part.state


def test_a_run_under_way_shows_what_there_is_by_now(service: RunningService) -> None:
    genvm_id = service.start_run({"print": "so far", "log": RECORDS, "sleep_ms": 600_000})
    stdout, log = (
        OutputReader(service, genvm_id, each) for each in (Artifact.STDOUT, Artifact.GENVM_LOG)
    )
    wait_until(lambda: stdout.read() is RunState.RUNNING and stdout.seen == b"so far")
    wait_until(lambda: log.read() is RunState.RUNNING and log.seen.count(b"\n") == len(RECORDS))
    assert json.loads(log.seen + b"]") == RECORDS
    assert [json.loads(line[1:]) for line in log.seen.splitlines()] == RECORDS
    service.client.cancel(genvm_id, grace_ms=0)
    assert (stdout.read(), stdout.seen) == (RunState.FINISHED, b"so far")
    assert log.read() is RunState.FINISHED
    assert log.seen == service.client.read_artifact(genvm_id, Artifact.GENVM_LOG).data_base64
    assert json.loads(log.seen) == RECORDS


def test_a_run_that_waits_for_permits_has_empty_outputs(service: RunningService) -> None:
    first = [service.start_run({"sleep_ms": 600_000}) for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(service.start_run, {"print": "at last"})
        genvm_id = first[-1] + 1
        wait_until(lambda: str(genvm_id) in service.http.get("/status").json()["executions"])
        for field in Artifact:
            part = service.client.read_artifact(genvm_id, field)
            assert (part.state, part.total_len, part.data_base64) == (RunState.QUEUED, 0, b"")
        for each in first:
            service.client.cancel(each, grace_ms=0)
        assert third.result(TIMEOUT) == genvm_id
    service.client.get_run(genvm_id, wait=TIMEOUT)
    assert service.client.read_artifact(genvm_id, Artifact.STDOUT).data_base64 == b"at last"


def test_a_lost_run_has_empty_outputs(service: RunningService) -> None:
    genvm_id = service.start_run({"sleep_ms": 600_000})
    with service.without_supervisor():
        pass
    assert service.client.read_artifact(genvm_id, Artifact.STDOUT).total_len == 0
    assert service.client.read_artifact(genvm_id, Artifact.GENVM_LOG).data_base64 == b"[]"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_found(service: RunningService, genvm_id: int, method: str) -> None:
    response = service.http.request(method, f"/genvm/{genvm_id}/artifact?field=stdout")
    assert (response.status_code, response.json()) == (404, {"error": "Not Found"})


def test_without_a_supervisor_and_with_the_next(service: RunningService, genvm_id: int) -> None:
    with service.without_supervisor():
        response = service.http.get(f"/genvm/{genvm_id}/artifact?field=stdout")
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) >= 1
    part = service.client.read_artifact(genvm_id, Artifact.STDOUT, 599_991, 9)
    assert part.data_base64 == TEXT[-9:].encode()


def test_the_typed_client_raises_what_the_service_says(
    service: RunningService, genvm_id: int
) -> None:
    with pytest.raises(RunNotFound, match="id 99999 not found"):
        service.client.read_artifact(99_999, Artifact.STDERR)
    with pytest.raises(BadRequest, match="offset"):
        service.client.read_artifact(genvm_id, Artifact.STDERR, offset=-1)


def test_a_result_can_be_read_in_parts(service: RunningService) -> None:
    result = bytes([0]) + calldata.encode({"data": "x" * 1000})
    genvm_id = service.start_run({"result": result})
    assert service.client.get_run(genvm_id, wait=TIMEOUT).status is not None
    whole = service.client.read_artifact(genvm_id, Artifact.RESULT)
    assert (whole.total_len, whole.data_base64) == (len(result), result)
    part = service.client.read_artifact(genvm_id, Artifact.RESULT, 5, 20)
    assert (part.total_len, part.data_base64) == (len(result), result[5:25])


def test_a_run_without_a_result_has_an_empty_one(service: RunningService, genvm_id: int) -> None:
    part = service.client.read_artifact(genvm_id, Artifact.RESULT)
    assert (part.total_len, part.data_base64) == (0, b"")


def test_a_run_can_be_read_without_its_outputs(service: RunningService) -> None:
    orders = {"print": "much", "log": RECORDS, "result": b"\0\0", "exit": 3}
    genvm_id = service.start_run(orders)
    path = f"/genvm/{genvm_id}?wait=30s"
    waited = service.http.get(f"{path}&outputs=none", timeout=TIMEOUT).json()["status"]
    assert service.http.get(f"{path}&outputs=none").json()["status"] == waited
    whole = service.http.get(f"{path}&outputs=all").json()["status"]
    assert whole["stdout"] == "much"
    empty: dict[str, Any] = {"stdout": "", "stderr": "", "genvm_log": [], "consumed_result": None}
    assert waited == whole | empty
    assert (waited["cause"], waited["exit_code"]) == ("exited", 3)

"""`POST /genvm/run/readonly` over a real service with the built-in executor.

Source: docs/spec/01-http-api.md#runs.
"""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.code import MAX_CODE
from genvm_manager.protocol.contract.vm_errors import describe
from genvm_manager.workers.genvm.cli import default_cache_dir
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until
from tests.support.wat import SCRATCH, SLOT, Contract, exits_with, returns

PATH = "/genvm/run/readonly"
NOW = {"Deployment-Timestamp": "2026-01-31T12:00:00Z"}
DEADLINE = "600s"
"""Longer than any test waits, so that a slow machine is not taken for a contract without end."""

PYTHON = b"""\
# { "Depends": "py-genlayer:test" }
from genlayer import *


class Greeter(gl.Contract):
    name: str

    def __init__(self, name: str):
        self.name = name

    @gl.public.view
    def greet(self) -> str:
        return self.name
"""
PYTHON_SCHEMA = {
    "ctor": {"params": [["name", "string"]], "kwparams": {}},
    "methods": {"greet": {"params": [], "kwparams": {}, "readonly": True, "ret": "string"}},
}
WASM_SCHEMA: dict[str, Any] = {"ctor": {"params": [], "kwparams": {}}, "methods": {}}
WASM = returns(json.dumps(WASM_SCHEMA))
LOOPING = Contract().wasm("(loop (br 0))")


def zipped(**files: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return written.getvalue()


def does(request: Any) -> bytes:
    """A contract that ends with the code of what it tries to do."""
    contract = Contract()
    return exits_with(contract.gl_call(request), contract)


def settings(deadline: str) -> str:
    return (
        f"{{http_workers: 1, permits: {{total: 2}}, schema_deadline: {deadline},"
        f" executor_env: {{GENVM_CACHE_DIR: '{default_cache_dir()}'}}}}"
    )


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    subprocess.run(
        [sys.executable, "-m", "genvm_manager.workers.genvm", "check", "--precompile"], check=True
    )
    with RunningService("--no-precompile", config=settings(DEADLINE), executor=None) as running:
        yield running


def ask(service: RunningService, code: bytes, **headers: str) -> httpx.Response:
    return service.http.post(PATH, content=code, headers=NOW | headers, timeout=TIMEOUT)


def executions(service: RunningService, state: str) -> dict[str, Any]:
    shown = service.http.get("/status").json()["executions"]
    return {key: entry for key, entry in shown.items() if entry["state"] == state}


@pytest.mark.parametrize(
    ("code", "schema"),
    [
        pytest.param(PYTHON, PYTHON_SCHEMA, id="python"),
        pytest.param(WASM, WASM_SCHEMA, id="wasm"),
        pytest.param(
            zipped(runner_json=b'{"StartWasm": "contract.wasm"}', contract_wasm=WASM),
            WASM_SCHEMA,
            id="zip",
        ),
    ],
)
def test_a_schema_is_a_json_document_as_text(
    service: RunningService, code: bytes, schema: dict[str, Any]
) -> None:
    response = ask(service, code)
    assert response.status_code == 200, response.text
    assert list(response.json()) == ["schema"]
    assert json.loads(response.json()["schema"]) == schema
    told = service.client.contract_schema(code, datetime(2026, 1, 31, tzinfo=UTC))
    assert json.loads(told) == schema


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Contract().wasm("unreachable"), "wasm_trap unreachable: The contract reached"),
        (Contract().wasm("(call $exit (i32.const 3))"), "exit_code 3: The contract's program"),
        (
            b'# { "Depends": "py-genlayer:test" }\n1 / 0\n',
            "exit_code 1: ZeroDivisionError: division by zero (contract.py:2) (genvm-manager logs ",
        ),
        (b"\xff\xfe", "invalid_contract not_utf8_text: "),
        (b"print(1)", "invalid_contract absent_runner_comment: "),
        (b"", "invalid_contract"),
        (b"PK\x03\x04 and no more", "invalid_contract: "),
        (b'# { "Depends": "py-none:1" }\n', "invalid_contract: the runner 'py-none:1' is unknown"),
        (returns(None), "the contract has no schema: #get-schema returned NoneType, expected str"),
        (returns("no"), "the contract has no schema: #get-schema returned 'no', expected JSON"),
        (does({"UserError": "not you"}), "the contract refuses to tell: user error 'not you'"),
    ],
)
def test_a_contract_without_a_schema_says_what_it_did(
    service: RunningService, code: bytes, error: str
) -> None:
    response = ask(service, code)
    assert response.status_code == 500
    said = response.json()["error"]
    assert said.startswith(error)
    run_id = int(said.rpartition("GET /genvm/")[2].split()[0])
    assert service.client.get_run(run_id).status is not None


def test_one_that_loops_is_ended_by_the_deadline() -> None:
    with RunningService("--no-precompile", config=settings("1s"), executor=None) as hurried:
        response = ask(hurried, LOOPING)
        assert response.status_code == 500
        expected = f"timeout: the contract ran longer than 1 s. {describe('timeout')}"
        assert response.json()["error"].startswith(expected)


def test_no_executor_at_that_time(service: RunningService) -> None:
    response = ask(service, WASM, **{"Deployment-Timestamp": "1999-01-01T00:00:00Z"})
    assert response.status_code == 500
    assert response.json() == {
        "error": "the manifest offers no executor at 1999-01-01T00:00:00.000Z"
    }


FORBIDDEN = 6


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(exits_with((c := Contract()).write(b"x" * 32), c), id="write"),
        pytest.param(
            does(
                {
                    "PostMessage": {
                        "address": Address(bytes(20)),
                        "calldata": b"",
                        "value": 0,
                        "on": "finalized",
                    }
                }
            ),
            id="send",
        ),
        pytest.param(does({"RunNondet": {"data_leader": b"", "data_validator": b""}}), id="nondet"),
    ],
)
def test_it_may_read_and_nothing_else(service: RunningService, code: bytes) -> None:
    assert ask(service, code).json()["error"].startswith(f"exit_code {FORBIDDEN}: ")


def test_its_storage_is_empty_but_for_the_code_and_it_has_no_value(service: RunningService) -> None:
    contract = Contract()
    read = f"""
      (if (call $storage_read (i32.const {SLOT}) (i32.const 0) (i32.const {SCRATCH})
            (i32.const 64)) (then (call $exit (i32.const 101))))
      (if (call $get_self_balance (i32.const {SCRATCH + 64}))
        (then (call $exit (i32.const 102))))
      (loop $next
        (if (i32.load8_u (i32.add (i32.const {SCRATCH}) (local.get $i)))
          (then (call $exit (i32.const 103))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 96))))
      (drop {contract.gl_call({"Return": "{}"})})"""
    assert ask(service, contract.wasm(read)).json() == {"schema": "{}"}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def begin(
    service: RunningService, pool: ThreadPoolExecutor
) -> tuple[Future[httpx.Response], int, dict[str, Any]]:
    """A contract that loops, and the run that it is, once it runs."""
    before = set(service.http.get("/status").json()["executions"])
    asked = pool.submit(ask, service, LOOPING)
    found = wait_until(lambda: {k: v for k, v in executions(service, "running").items()
                                if k not in before})  # fmt: skip
    ((run_id, entry),) = found.items()
    return asked, int(run_id), entry


def test_it_shows_costs_a_permit_and_can_be_cancelled(
    service: RunningService, pool: ThreadPoolExecutor
) -> None:
    asked, run_id, entry = begin(service, pool)
    assert entry["version"] == "v0.2.0"
    assert entry["pid"]
    assert entry["strict_deadline"]
    assert service.client.permits().in_use == 1
    service.client.cancel(run_id, grace_ms=0)
    response = asked.result(TIMEOUT)
    assert response.status_code == 500
    assert response.json()["error"] == (
        f"the run that asks for the schema was cancelled (genvm-manager logs {run_id} or GET "
        f"/genvm/{run_id} says more)"
    )
    run = service.client.get_run(run_id).status
    assert run is not None
    assert (run.cause, run.exit_code) == ("cancelled", None)
    assert service.client.permits().in_use == 0


@pytest.mark.parametrize("is_queued", [False, True])
def test_a_client_that_goes_away_ends_it(
    service: RunningService, pool: ThreadPoolExecutor, is_queued: bool
) -> None:
    others = [begin(service, pool) for _ in range(2)] if is_queued else []
    state = "queued" if is_queued else "running"
    address = urlsplit(service.url)
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LOOPING)}\r\n"
    head += f"Deployment-Timestamp: {NOW['Deployment-Timestamp']}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT) as client:
        client.sendall(head.encode() + LOOPING)
        (run_id,) = wait_until(lambda: executions(service, state))
    run = wait_until(lambda: service.client.get_run(int(run_id)).status)
    assert (run.cause, run.reason) == ("cancelled", "its client went away")
    for asked, other, _ in others:
        service.client.cancel(other, grace_ms=0)
        asked.result(TIMEOUT)
    assert service.client.permits().in_use == 0


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (None, "Deployment-Timestamp: missing"),
        ("yesterday", "Deployment-Timestamp: expected RFC 3339"),
        ("2026-01-31T12:00:00", "Deployment-Timestamp: expected RFC 3339"),
        ("9999-12-31T23:59:59-14:00", "timestamp: expected a time before the year 10000"),
    ],
)
def test_a_bad_time_is_named(service: RunningService, header: str | None, error: str) -> None:
    headers = {} if header is None else {"Deployment-Timestamp": header}
    response = service.http.post(PATH, content=WASM, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"].startswith(error)


def test_code_is_bounded(service: RunningService) -> None:
    response = ask(service, b"#" * (MAX_CODE + 1))
    assert response.status_code == 400
    assert response.json()["error"].startswith("body: a contract's code may have 33554432 bytes")
    assert ask(service, b"#" * MAX_CODE).json()["error"].startswith("invalid_contract")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_wrong_method_is_not_found(service: RunningService, method: str) -> None:
    response = service.http.request(method, PATH, headers=NOW)
    assert (response.status_code, response.json()) == (404, {"error": "Not Found"})


def test_the_typed_client_raises_what_the_service_says(service: RunningService) -> None:
    with pytest.raises(RequestFailed, match="the contract has no schema"):
        service.client.contract_schema(returns(5), datetime.now(UTC))
    with pytest.raises(BadRequest, match="Deployment-Timestamp: expected RFC 3339"):
        service.client.contract_schema(WASM, datetime(2026, 1, 1))


def test_a_supervisor_that_dies_in_the_middle_is_503_and_the_next_one_answers(
    service: RunningService, pool: ThreadPoolExecutor
) -> None:
    asked, run_id, _ = begin(service, pool)
    service.half("supervisor").send_signal(signal.SIGKILL)
    response = asked.result(TIMEOUT)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    wait_until(lambda: service.http.get("/readyz").is_success)
    run = service.client.get_run(run_id).status
    assert run is not None
    assert run.cause == "lost"
    assert ask(service, WASM).status_code == 200

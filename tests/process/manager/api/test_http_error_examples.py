"""The examples of errors in the document: each is what a real service answers, to the letter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from genvm_manager.manager.api.declaration.errors import FORBIDDEN, TOO_LARGE
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.operations import OPERATIONS
from tests.support.operations import Request, example_of, json_example_of
from tests.support.service import RunningService

MAX_BODY = 100_000
BY_NAME = {operation.name: operation for operation in OPERATIONS}

Change = Callable[[Request, Operation], Request]
"""Puts the fault into the example of a request."""


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config=f"{{http_workers: 1, http_threads: 8, max_body: {MAX_BODY}}}") as it:
        yield it


def query(**fields: str) -> Change:
    return lambda request, _: replace(request, query=request.query | fields)


def header(name: str, value: str) -> Change:
    return lambda request, _: replace(request, headers=request.headers | {name: value})


def path(place: str) -> Change:
    return lambda request, _: replace(request, path=place)


def fields(**changed: Any) -> Change:
    """Other values in the JSON body; `...` takes a field out."""

    def change(request: Request, operation: Operation) -> Request:
        body = json_example_of(operation) | changed
        kept = {name: value for name, value in body.items() if value is not ...}
        return replace(request, body=json.dumps(kept).encode())

    return change


def without_query(request: Request, _: Operation) -> Request:
    return replace(request, query={})


def without_chain_id(request: Request, operation: Operation) -> Request:
    body = json_example_of(operation)
    del body["message"]["chain_id"]
    return replace(request, body=json.dumps(body).encode())


def unchanged(request: Request, _: Operation) -> Request:
    return request


BAD_TIME = header("Deployment-Timestamp", "yesterday")
TOO_EARLY = header("Deployment-Timestamp", "1999-01-31T12:00:00Z")
FAULTS: list[tuple[str, int, Change]] = [
    ("post_genvm_run", 400, without_chain_id),
    ("post_genvm_run", 500, fields(major=7)),
    ("get_genvm_genvm_id", 400, query(wait="soon")),
    ("get_genvm_genvm_id", 404, path("/genvm/one")),
    ("get_genvm_genvm_id_artifact", 400, query(offset="-1")),
    ("get_genvm_genvm_id_artifact", 404, unchanged),
    ("delete_genvm_genvm_id", 400, query(wait_timeout_ms="soon")),
    ("delete_genvm_genvm_id", 404, unchanged),
    ("get_vm_error_describe", 400, without_query),
    ("post_module_start", 400, fields(module_type="browser")),
    ("post_module_restart", 400, fields(module_type="browser")),
    ("post_module_stop", 400, fields(module_type="browser")),
    ("post_llm_check", 400, fields(test_prompts=...)),
    ("post_genvm_run_readonly", 400, BAD_TIME),
    ("post_genvm_run_readonly", 500, TOO_EARLY),
    ("post_contract_detect_version", 400, BAD_TIME),
    ("post_contract_detect_version", 500, TOO_EARLY),
    ("post_contract_pre_deploy_writes", 400, BAD_TIME),
    ("post_contract_pre_deploy_writes", 500, TOO_EARLY),
    ("post_permits", 400, fields(permits="8")),
    ("post_log_level", 400, fields(level="loud")),
    ("post_env", 400, fields(key="PYTHONPATH")),
    ("get_assets_name", 404, path("/assets/none.css")),
]


def test_no_operation_with_a_400_or_404_is_left_out() -> None:
    declared = {
        (operation.name, status)
        for operation in OPERATIONS
        for status in operation.error_cases()
        if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)
    }
    assert declared == {(name, status) for name, status, _ in FAULTS if status != 500}


@pytest.mark.parametrize(
    ("name", "status", "change"), FAULTS, ids=[f"{name}-{status}" for name, status, _ in FAULTS]
)
def test_a_fault_is_answered_as_its_example_says(
    service: RunningService, name: str, status: int, change: Change
) -> None:
    operation = BY_NAME[name]
    response = change(example_of(operation), operation).send(service.http)
    assert response.status_code == status, response.text
    assert response.json() in [case.document for case in operation.error_cases()[status]]


def test_what_any_operation_refuses_is_answered_as_its_example_says(
    service: RunningService,
) -> None:
    foreign = service.http.get("/status", headers={"Host": "example.com"})
    assert (foreign.status_code, foreign.json()) == (FORBIDDEN.status, FORBIDDEN.document)
    large = service.http.post("/permits", content=b" " * (MAX_BODY + 1))
    assert (large.status_code, large.json()) == (TOO_LARGE.status, TOO_LARGE.document)

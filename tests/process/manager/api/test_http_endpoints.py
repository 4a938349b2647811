"""Every endpoint with the same faults: the table is the API's own.

What an endpoint does when all is well, and faults of its own, are in the files named for it.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from genvm_manager.manager.api.declaration.content import JSON, Json
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.openapi.document import document
from genvm_manager.manager.api.operations import OPERATIONS
from tests.support.operations import Request, example_of, json_example_of
from tests.support.service import RunningService
from tests.support.waiting import wait_until

MAX_BODY = 100_000
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
WRONG: tuple[Any, ...] = ([1], {"a": 1}, "\N{SNOWMAN}", True, 1.5, None)
"""Something among them is of the wrong type for any field that has a type."""


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    config = f"{{http_workers: 1, http_threads: 16, max_body: {MAX_BODY}, permits: {{total: 8}}}}"
    with RunningService(config=config) as running:
        yield running


def named(operation: Operation) -> str:
    return operation.name


def with_json_body() -> list[Operation]:
    return [each for each in OPERATIONS if each.bodies and each.bodies[0].media_type == JSON]


def json_body_of(operation: Operation) -> Json[Any]:
    body = operation.bodies[0]
    assert isinstance(body, Json)
    return body


def fields_of(operation: Operation) -> dict[str, Any]:
    """The schemas of the JSON body's fields; those of the struct in a field as `outer.inner`."""
    schemas = document(OPERATIONS)["components"]["schemas"]
    struct = json_body_of(operation).struct
    fields = dict(schemas[struct.__name__]["properties"])
    for name, schema in list(fields.items()):
        if "$ref" in schema and schemas[schema["$ref"].rpartition("/")[2]]["type"] == "object":
            inner = schemas[schema["$ref"].rpartition("/")[2]]["properties"]
            fields |= {f"{name}.{each}": inner[each] for each in inner}
    return fields


def required_of(operation: Operation) -> list[str]:
    struct = json_body_of(operation).struct
    required = document(OPERATIONS)["components"]["schemas"][struct.__name__]["required"]
    assert isinstance(required, list)
    return required


def change(body: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """The body with another value at `outer.inner`; `...` takes it out."""
    outer, _, inner = field.partition(".")
    if inner:
        return body | {outer: change(body[outer], inner, value)}
    return {name: each for name, each in (body | {outer: value}).items() if each is not ...}


JSON_FIELDS = [(each, field) for each in with_json_body() for field in fields_of(each)]
FIELD_IDS = [f"{operation.name}-{field}" for operation, field in JSON_FIELDS]


def refused(service: RunningService, request: Request) -> str:
    """The error of a request that is refused with 400."""
    response = request.send(service.http)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert isinstance(error, str)
    return error


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
def test_the_example_is_answered_as_declared(service: RunningService, operation: Operation) -> None:
    response = example_of(operation).send(service.http)
    assert response.status_code in {200, *operation.error_cases()}, response.text
    kind = operation.reply.media_type if response.is_success else JSON
    assert response.headers["Content-Type"].split(";")[0] == kind


@pytest.mark.parametrize("path", sorted({operation.path for operation in OPERATIONS}))
def test_a_wrong_method_is_not_found(service: RunningService, path: str) -> None:
    operations = [operation for operation in OPERATIONS if operation.path == path]
    # What another path takes for its parameter is known by that method.
    known = {each.method for each in OPERATIONS if each.path in (path, "/genvm/{genvm_id}")}
    for method in set(METHODS) - (known if path.startswith("/genvm/{") else {operations[0].method}):
        if method in {each.method for each in operations}:
            continue
        response = replace(example_of(operations[0]), method=method).send(service.http)
        assert (response.status_code, response.json()) == (404, {"error": "Not Found"})


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.bodies], ids=named)
def test_a_huge_body_is_413(service: RunningService, operation: Operation) -> None:
    huge = replace(example_of(operation), body=b" " * (MAX_BODY + 1))
    response = huge.send(service.http)
    assert response.status_code == 413
    assert response.json()["error"].startswith("body: ")


@pytest.mark.parametrize("operation", with_json_body(), ids=named)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "cp500"])
def test_a_wrong_encoding_is_named(
    service: RunningService, operation: Operation, encoding: str
) -> None:
    encoded = json.dumps(json_example_of(operation)).encode(encoding)
    headers = {"Content-Type": JSON}
    request = replace(example_of(operation), body=encoded, headers=headers)
    assert refused(service, request).startswith("body: not JSON")


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.parameters], ids=named)
def test_a_missing_parameter_is_named(service: RunningService, operation: Operation) -> None:
    request = example_of(operation)
    for name in (*request.query, *request.headers):
        without = replace(
            request,
            query={each: value for each, value in request.query.items() if each != name},
            headers={each: value for each, value in request.headers.items() if each != name},
        )
        assert refused(service, without).startswith(f"{name}: missing")


@pytest.mark.parametrize(("operation", "field"), JSON_FIELDS, ids=FIELD_IDS)
def test_a_missing_field_is_named(
    service: RunningService, operation: Operation, field: str
) -> None:
    whole = json_example_of(operation)
    body = json.dumps(change(whole, field, ...)).encode()
    response = replace(example_of(operation), body=body).send(service.http)
    if field in required_of(operation):
        assert response.status_code == 400
    if response.status_code == 400:
        # A run that is not said to be deterministic needs modules, and they need this.
        needed = "host_data: expected" if field == "is_sync" else f"{field}: missing"
        assert response.json()["error"].startswith(needed)


@pytest.mark.parametrize(("operation", "field"), JSON_FIELDS, ids=FIELD_IDS)
def test_an_ill_typed_field_is_named(
    service: RunningService, operation: Operation, field: str
) -> None:
    schema = fields_of(operation)[field] | {"components": document(OPERATIONS)["components"]}
    fits = Draft202012Validator(schema)
    for value in (each for each in WRONG if not fits.is_valid(each)):
        body = json.dumps(change(json_example_of(operation), field, value)).encode()
        assert refused(service, replace(example_of(operation), body=body)).startswith(field)


def test_a_supervisor_that_is_killed_in_between_is_503_and_no_more(
    service: RunningService,
) -> None:
    seen: dict[str, set[int]] = {operation.name: set() for operation in OPERATIONS}
    service.half("supervisor").send_signal(signal.SIGKILL)

    def is_back() -> bool:
        for operation in OPERATIONS:
            response = example_of(operation).send(service.http)
            seen[operation.name].add(response.status_code)
            if response.status_code == 503:
                assert int(response.headers["Retry-After"]) >= 1
        return service.http.get("/readyz").is_success

    wait_until(is_back)
    assert any(503 in codes for codes in seen.values())
    for operation in OPERATIONS:
        assert seen[operation.name] <= {200, *operation.error_cases()}

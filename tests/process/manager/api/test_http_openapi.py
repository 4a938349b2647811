"""The OpenAPI document: whole, true to the structs, and held against the live service."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema_rs import Draft202012Validator
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from genvm_manager.base.settings.config import Config
from genvm_manager.manager.api.app import create_app
from genvm_manager.manager.api.declaration.content import JSON, Json, Plain
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.events.broadcaster import StatusBroadcaster
from genvm_manager.manager.api.limits.concurrency import ConcurrencyLimits
from genvm_manager.manager.api.openapi.document import document
from genvm_manager.manager.api.operations import OPERATIONS
from genvm_manager.manager.api.operations.run import EXAMPLE_AS_CALLDATA, EXAMPLE_REQUEST
from genvm_manager.manager.api.sources import Sources
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.bodies import from_calldata, from_json
from genvm_manager.protocol.http_api import ErrorReply
from genvm_manager.protocol.run_request import RunRequest
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT

CHECKS: list[CheckFunction] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""That a 5xx is never answered unless the document says so is part of the first."""

CASES_PER_OPERATION = 25

API = schemathesis.openapi.from_dict(json.loads(msgspec.json.encode(document(OPERATIONS))))


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, http_threads: 16, permits: {total: 8}}") as it:
        yield it


def test_each_operation_has_its_own_route_and_name() -> None:
    nowhere = SupervisorClient(Path("/nowhere"), client="test")
    feed = StatusBroadcaster(nowhere.watch_status)
    app = create_app(Sources(nowhere, feed, ConcurrencyLimits(1), None), Config(), None)
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    declared = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(set(declared)) == len(declared)
    assert set(declared) == routes
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    for operation in OPERATIONS:
        in_path = [each.name for each in operation.parameters if each.place == "path"]
        assert re.findall(r"{(\w+)}", operation.path) == in_path


def test_the_document_is_valid_openapi() -> None:
    API.validate()
    with pytest.raises(Exception, match="required property"):
        schemathesis.openapi.from_dict({"openapi": "3.1.0", "paths": {}}).validate()


def named(operation: Operation) -> str:
    return operation.name


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
def test_every_example_is_what_its_struct_says(operation: Operation) -> None:
    for parameter in operation.all_parameters:
        Draft202012Validator(parameter.schema).validate(parameter.example)
        parameter.parse(str(parameter.example))
    for body in operation.bodies:
        if isinstance(body, Json):
            from_json(json.dumps(body.example).encode(), body.struct)
            assert_schema_holds(body)
        else:
            assert body.example or operation.path == "/genvm/run"
    reply = operation.reply
    assert reply.example
    if isinstance(reply, Json):
        kind = list[reply.struct] if reply.is_list else reply.struct  # type: ignore[name-defined]
        decoded = msgspec.json.decode(json.dumps(reply.example), type=kind)
        assert json.loads(msgspec.json.encode(decoded)) == reply.example
        assert_schema_holds(reply)


def assert_schema_holds(content: Json[Any]) -> None:
    schema = content.schema() | {"components": document(OPERATIONS)["components"]}
    Draft202012Validator(schema).validate(content.example)


def test_the_run_request_has_the_same_example_in_both_forms() -> None:
    encoded = b64decode(EXAMPLE_AS_CALLDATA)
    as_json = from_json(json.dumps(EXAMPLE_REQUEST).encode(), RunRequest)
    assert from_calldata(encoded, RunRequest) == as_json
    described = next(each for each in OPERATIONS if each.path == "/genvm/run").bodies[1]
    assert isinstance(described, Plain)
    shown = re.findall(r"`([A-Za-z0-9+/=]{100,})`", described.description)
    assert [b64decode(each) for each in shown] == [encoded]


def test_every_field_says_what_it_means() -> None:
    schemas = document(OPERATIONS)["components"]["schemas"]
    fields = {
        f"{name}.{field}": schema.get("description")
        for name, each in schemas.items()
        for field, schema in each.get("properties", {}).items()
    }
    assert {name for name, description in fields.items() if not description} == set()
    assert {name for name, each in schemas.items() if not each.get("description")} == set()


def test_examples_of_errors_fit_their_status_and_operation() -> None:
    cases = [
        (operation, status, each)
        for operation in OPERATIONS
        for status, found in operation.error_cases().items()
        for each in found
    ]
    statuses: dict[str, set[int]] = {}
    for operation, status, each in cases:
        statuses.setdefault(each.example, set()).add(status)
        if status == HTTPStatus.BAD_REQUEST:
            assert each.example.split(":")[0] in names_in(operation), operation.name
        assert (each.genvm_id is not None) == (
            "{genvm_id}" in operation.path
            and each.example.startswith(("GenVM with id", "timeout during shutdown"))
        )
        json_error = msgspec.json.decode(json.dumps(each.document), type=ErrorReply)
        assert json_error.error == each.example
    assert {text for text, found in statuses.items() if len(found) > 1} == set()
    own = {each.example for _, status, each in cases if status in (400, 404, 500)}
    assert len(own) >= 20


def names_in(operation: Operation) -> set[str]:
    """What a 400 of the operation may name."""
    names = {each.name for each in operation.all_parameters}
    for body in operation.bodies:
        if isinstance(body, Json):
            fields = msgspec.inspect.type_info(body.struct).fields  # type: ignore[attr-defined]
            names |= {field.encode_name for field in fields}
            names.add("message.chain_id")
    return names


class Links(HTMLParser):
    """What a page has and what it points to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.targets: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id" and value:
                assert value not in self.names
                self.names.add(value)
            if name in ("href", "src", "action") and value:
                self.targets.append(value)


def test_the_page_is_whole_and_fetches_nothing(service: RunningService) -> None:
    response = service.http.get("/docs")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    links = Links()
    links.feed(response.text)
    assert not {"script", "img", "link", "iframe"} & links.tags
    assert {target.removeprefix("#") for target in links.targets} <= links.names | {
        "openapi.json",
        "./",
    }
    for operation in OPERATIONS:
        assert operation.name in links.names
    assert "prefers-color-scheme: dark" in response.text
    assert "url(" not in response.text


def test_the_document_is_served(service: RunningService) -> None:
    response = service.http.get("/openapi.json")
    assert response.headers["Content-Type"] == JSON
    assert response.json() == json.loads(msgspec.json.encode(document(OPERATIONS)))
    assert response.json()["openapi"].startswith("3.1")


@API.exclude(path="/events").parametrize()
@settings(
    max_examples=CASES_PER_OPERATION,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_any_request_is_answered_as_the_document_says(
    case: schemathesis.Case[Any], service: RunningService
) -> None:
    if case.query.get("wait"):
        case.query["wait"] = "1ms"
    case.call_and_validate(base_url=service.url, checks=CHECKS, timeout=TIMEOUT)

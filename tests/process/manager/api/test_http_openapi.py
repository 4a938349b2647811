"""The OpenAPI document: whole, true to the structs, and held against the live service."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

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
from genvm_manager.manager.api.app import Sources, create_app
from genvm_manager.manager.api.events.broadcaster import StatusBroadcaster
from genvm_manager.manager.api.limits.concurrency import ConcurrencyLimits
from genvm_manager.manager.api.openapi import examples
from genvm_manager.manager.api.openapi.document import document
from genvm_manager.manager.api.openapi.field_notes import FIELD_NOTES
from genvm_manager.manager.api.openapi.operation import JSON, Body, Operation
from genvm_manager.manager.api.openapi.operations import OPERATIONS
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.bodies import from_calldata, from_json
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


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, http_threads: 16, permits: {total: 8}}") as it:
        yield it


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    nowhere = SupervisorClient(Path("/nowhere"), client="test", shares=ConcurrencyLimits(1))
    sources = Sources(nowhere, StatusBroadcaster(nowhere.watch_status), None)
    app = create_app(sources, Config(), ConcurrencyLimits(1), None)
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    declared = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(set(declared)) == len(declared)
    assert set(declared) == routes
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)


def named(operation: Operation) -> str:
    return operation.name


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
def test_every_example_is_what_its_struct_says(operation: Operation) -> None:
    for parameter in operation.parameters:
        Draft202012Validator(parameter.schema).validate(parameter.example)
    for body in operation.bodies:
        if body.struct is not None:
            from_json(json.dumps(body.example).encode(), body.struct)
            assert_schema_holds(body)
        else:
            assert body.example or operation.path == "/genvm/run"
    reply = operation.reply
    assert reply.example
    if reply.struct is not None:
        kind = list[reply.struct] if reply.is_list else reply.struct  # type: ignore[name-defined]
        decoded = msgspec.json.decode(json.dumps(reply.example), type=kind)
        assert json.loads(msgspec.json.encode(decoded)) == reply.example
        assert_schema_holds(reply)


def assert_schema_holds(body: Body) -> None:
    assert body.struct is not None
    schema = {
        "$ref": f"#/components/schemas/{body.struct.__name__}",
        "components": document()["components"],
    }
    for example in body.example if body.is_list else [body.example]:
        Draft202012Validator(schema).validate(example)


def test_the_run_request_has_the_same_example_in_both_forms() -> None:
    encoded = b64decode(examples.RUN_REQUEST_AS_CALLDATA)
    as_json = from_json(json.dumps(examples.RUN_REQUEST).encode(), RunRequest)
    assert from_calldata(encoded, RunRequest) == as_json
    described = next(each for each in OPERATIONS if each.path == "/genvm/run").bodies[1]
    shown = re.findall(r"`([A-Za-z0-9+/=]{100,})`", described.description)
    assert [b64decode(each) for each in shown] == [encoded]


def test_every_field_of_a_request_says_what_it_means() -> None:
    schemas = document()["components"]["schemas"]
    bodies = {body.struct for each in OPERATIONS for body in each.bodies if body.struct}
    for name in {struct.__name__ for struct in bodies} | set(FIELD_NOTES):
        fields = schemas[name]["properties"]
        assert {field for field in fields if not fields[field].get("description")} == set()
        assert set(FIELD_NOTES.get(name, {})) <= set(fields)


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
    assert response.json() == json.loads(msgspec.json.encode(document()))
    assert response.json()["openapi"].startswith("3.1")


API = schemathesis.openapi.from_dict(json.loads(msgspec.json.encode(document())))


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
    case: schemathesis.Case, service: RunningService
) -> None:
    if case.query.get("wait"):
        case.query["wait"] = "1ms"
    case.call_and_validate(base_url=service.url, checks=CHECKS, timeout=TIMEOUT)

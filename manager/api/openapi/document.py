"""The OpenAPI 3.1 document, made from the declarations of the operations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from genvm_manager.manager.api.declaration.content import JSON, Content, Json, reference_to
from genvm_manager.manager.api.declaration.errors import ErrorCase
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.declaration.parameters import Parameter
from genvm_manager.protocol import __version__
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.http_api import ErrorReply

_DESCRIPTION = """\
Runs GenLayer's Intelligent Contracts. Bodies and replies are JSON unless said otherwise. Every \
error is an object with `error`, one sentence that says what is wrong. An unknown path, and a \
wrong method on a known one, is 404."""

_TAGS = {
    "Status": "The state of the service.",
    "Runs": "Start a run, read it, end it.",
    "Modules": "The processes that give contracts prompts and web pages.",
    "Contracts": "What a node has to know before it deploys a contract.",
    "Configuration": "What can change while the service runs.",
    "Documentation": "The API's description of itself.",
}

_HEADERS = {
    HTTPStatus.UNAUTHORIZED: (
        "WWW-Authenticate",
        {"description": "Names the scheme, `Bearer`.", "schema": {"type": "string"}},
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "Retry-After",
        {"description": "Seconds until the next try.", "schema": {"type": "integer"}},
    ),
}
"""Headers that each error of a status code has."""


@cache
def document(operations: tuple[Operation, ...]) -> dict[str, Any]:
    """Return the whole document in JSON's types; it must not be changed."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "GenVM Manager", "version": __version__, "description": _DESCRIPTION},
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Only where the service was started with a token file.",
                }
            },
        },
    }


@cache
def encoded_document(operations: tuple[Operation, ...]) -> bytes:
    """Return the document as it is served."""
    return msgspec.json.encode(document(operations))


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [_parameter(each) for each in operation.all_parameters],
        "responses": _responses(operation),
    }
    if operation.bodies:
        described["requestBody"] = {
            "required": True,
            "content": {body.media_type: _content(body) for body in operation.bodies},
        }
    if operation.is_open:
        described["security"] = []
    return {name: value for name, value in described.items() if value or name == "security"}


def _parameter(parameter: Parameter[Any]) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": parameter.schema,
        "example": parameter.example,
    }


def _responses(operation: Operation) -> dict[str, Any]:
    reply = {operation.reply.media_type: _content(operation.reply)}
    by_status: dict[str, Any] = {"200": {"description": "Done.", "content": reply}}
    for status, cases in operation.error_cases().items():
        by_status[str(status)] = _error(status, cases)
    return by_status


def _error(status: int, cases: list[ErrorCase]) -> dict[str, Any]:
    """Return the response of one status code, with an example of each case."""
    content: dict[str, Any] = {"schema": reference_to(ErrorReply)}
    if len(cases) == 1:
        content["example"] = cases[0].document
    else:
        content["examples"] = {
            case.name: {"summary": case.when, "value": case.document} for case in cases
        }
    description = " ".join([f"{HTTPStatus(status).phrase}.", *(case.when for case in cases)])
    response = {"description": description, "content": {JSON: content}}
    if header := _HEADERS.get(HTTPStatus(status)):
        name, described = header
        response["headers"] = {name: {"required": True, **described}}
    return response


def _content(content: Content) -> dict[str, Any]:
    example = {} if content.example is None else {"example": content.example}
    return {"schema": content.schema(), **example}


def _structs(operations: tuple[Operation, ...]) -> Iterator[type]:
    yield ErrorReply
    for operation in operations:
        for content in (*operation.bodies, operation.reply):
            if isinstance(content, Json):
                yield content.struct


def _schemas(operations: tuple[Operation, ...]) -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(
        sorted(set(_structs(operations)), key=lambda each: each.__name__),
        schema_hook=_address_schema,
        ref_template="#/components/schemas/{name}",
    )
    for schema in schemas.values():
        _simplify(schema)
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    return schemas


def _simplify(schema: Any) -> None:
    """Describe a tuple whose items are all alike by one schema, which every tool understands."""
    if isinstance(schema, dict):
        first, *others = schema.get("prefixItems", [None])
        if first is not None and all(each == first for each in others):
            del schema["prefixItems"]
            schema["items"] = first
        for each in schema.values():
            _simplify(each)
    elif isinstance(schema, list):
        for each in schema:
            _simplify(each)


def _address_schema(kind: type) -> dict[str, Any]:
    if kind is Address:
        description = "An address: `0x` and 40 hexadecimal digits, or base64 of 20 bytes."
        return {"type": "string", "description": description}
    raise NotImplementedError(kind)

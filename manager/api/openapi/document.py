"""The OpenAPI 3.1 document, from the structs that validate requests and encode replies."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from genvm_manager.protocol import __version__
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.http_api import ErrorReply

from . import examples
from .field_notes import FIELD_NOTES
from .operation import JSON, Body, Operation, Parameter, phrase
from .operations import OPERATIONS

_DESCRIPTION = """\
Runs GenLayer's Intelligent Contracts. Bodies and replies are JSON unless said otherwise. Every \
error is an object with `error`, one sentence that says what is wrong. An unknown path, and a \
wrong method on a known one, is 404."""

_TAGS = {
    "Status": "How the service is.",
    "Runs": "Start a run, read it, end it.",
    "Modules": "What gives contracts prompts and pages.",
    "Contracts": "What a node has to know before it deploys.",
    "Configuration": "What can be changed while the service runs.",
    "Documentation": "The API about itself.",
}


@cache
def document() -> dict[str, Any]:
    """The whole document as JSON's types; not to be changed."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "GenVM Manager", "version": __version__, "description": _DESCRIPTION},
        "tags": [{"name": name, "description": words} for name, words in _TAGS.items()],
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
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
def encoded_document() -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(document())


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [_parameter(each) for each in operation.parameters],
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


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": parameter.schema,
        "example": parameter.example,
    }


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {
            "description": "Done.",
            "content": {operation.reply.media_type: _content(operation.reply)},
        }
    }
    error = {JSON: {"schema": _reference(ErrorReply), "example": examples.ERROR}}
    for code, words in operation.refusals().items():
        responses[str(code)] = {"description": f"{phrase(code)}. {words}", "content": error}
    if "503" in responses:
        responses["503"] = responses["503"] | {
            "headers": {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
        }
    return responses


def _content(body: Body) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _schema(body)}
    if body.example is not None:
        content["example"] = body.example
    return content


def _schema(body: Body) -> dict[str, Any]:
    if body.struct is not None:
        reference = _reference(body.struct)
        return {"type": "array", "items": reference} if body.is_list else reference
    if body.media_type == JSON:
        return {"type": "object"}
    return {"type": "string"} | ({"description": body.description} if body.description else {})


def _reference(struct: type) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _schemas() -> dict[str, Any]:
    structs: set[type] = {ErrorReply}
    for operation in OPERATIONS:
        bodies = (*operation.bodies, operation.reply)
        structs |= {body.struct for body in bodies if body.struct is not None}
    _, schemas = msgspec.json.schema_components(
        sorted(structs, key=lambda each: each.__name__),
        schema_hook=_address_schema,
        ref_template="#/components/schemas/{name}",
    )
    for schema in schemas.values():
        _simplify(schema)
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    for name, notes in FIELD_NOTES.items():
        for field, words in notes.items():
            _annotate(schemas[name]["properties"], field, words)
    return schemas


def _simplify(schema: Any) -> None:
    """Say of tuples whose items are all alike what one is, which every tool understands."""
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


def _annotate(properties: dict[str, Any], field: str, words: str) -> None:
    properties[field] = {"description": words} | properties[field]


def _address_schema(kind: type) -> dict[str, Any]:
    if kind is Address:
        words = "An address: `0x` hex of 20 bytes, or their base64."
        return {"type": "string", "description": words}
    raise NotImplementedError(kind)

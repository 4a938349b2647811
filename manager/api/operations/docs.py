"""`/openapi.json` and `/docs`: the API's description of itself."""

from __future__ import annotations

from flask import Response

from genvm_manager.manager.api.declaration.content import JSON, Plain
from genvm_manager.manager.api.declaration.operation import Operation, registered_operations
from genvm_manager.manager.api.openapi.document import encoded_document
from genvm_manager.manager.api.openapi.page import page
from genvm_manager.manager.api.sources import Sources

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""The page brings its own style and needs nothing else."""


def openapi(_: Sources) -> Response:
    """Return the OpenAPI document."""
    return Response(encoded_document(registered_operations()), content_type=JSON)


def docs(_: Sources) -> Response:
    """Return the same document as a page."""
    text = page(registered_operations())
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


OPERATIONS = (
    Operation(
        "GET",
        "/openapi.json",
        "Documentation",
        "Read this document",
        openapi,
        Plain(JSON, "An OpenAPI 3.1 document.", {"openapi": "3.1.0"}, kind="object"),
    ),
    Operation(
        "GET",
        "/docs",
        "Documentation",
        "Read this document as a page",
        docs,
        Plain("text/html", "A page without scripts.", "<!doctype html>"),
    ),
)

"""`/openapi.json` and `/docs`: the API about itself."""

from __future__ import annotations

from flask import Blueprint, Response

from genvm_manager.manager.api.openapi.document import encoded_document
from genvm_manager.manager.api.openapi.page import page
from genvm_manager.manager.api.supervisor_client import SupervisorClient

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""The page brings its own style and needs nothing else."""


def routes(_: SupervisorClient) -> Blueprint:
    """`GET /openapi.json` and `GET /docs`; they need no supervisor."""
    blueprint = Blueprint("docs", __name__)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return Response(encoded_document(), content_type="application/json")

    @blueprint.get("/docs")
    def docs() -> Response:
        response = Response(page(), content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    return blueprint

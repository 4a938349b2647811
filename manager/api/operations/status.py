"""`/status`: modules, permits and executions at a glance."""

from __future__ import annotations

from flask import Blueprint, Response

from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.http_api import WrittenStatus


def routes(client: SupervisorClient) -> Blueprint:
    """`GET /status` (docs/spec/01-http-api.md#status)."""
    blueprint = Blueprint("status", __name__)

    @blueprint.get("/status")
    def status() -> Response:
        return json_response(WrittenStatus.of(client.status()))

    return blueprint

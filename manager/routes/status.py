"""`/status`: modules, permits and executions at a glance."""

from __future__ import annotations

from flask import Blueprint, Response

from ..replies import WrittenStatus
from ..responses import json_response
from ..supervisor_client import SupervisorClient


def routes(client: SupervisorClient) -> Blueprint:
    """`GET /status` (spec 01, status)."""
    blueprint = Blueprint("status", __name__)

    @blueprint.get("/status")
    def status() -> Response:
        return json_response(WrittenStatus.of(client.status()))

    return blueprint

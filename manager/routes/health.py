"""`/healthz` and `/readyz`: for those who watch or start the service."""

from __future__ import annotations

from flask import Blueprint, Response

from protocol.errors import Unavailable

from ..replies import Health
from ..responses import json_response
from ..supervisor_client import SupervisorClient


def routes(client: SupervisorClient) -> Blueprint:
    """`GET /healthz` and `GET /readyz` (spec 01, status)."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def alive() -> Response:
        """This process answers."""
        return json_response(Health("alive"))

    @blueprint.get("/readyz")
    def ready() -> Response:
        """The supervisor answers too, and takes runs."""
        if (refusal := client.status().refusal) is not None:
            raise Unavailable(f"no runs are taken: {refusal}")
        return json_response(Health("ready"))

    return blueprint

"""`/healthz` and `/readyz`: for those who watch or start the service."""

from __future__ import annotations

from flask import Blueprint, Response

from genvm_manager.base.errors import Unavailable
from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.http_api import Health
from genvm_manager.protocol.readiness import Readiness


def routes(client: SupervisorClient, readiness: Readiness | None) -> Blueprint:
    """`GET /healthz` and `GET /readyz` (docs/spec/01-http-api.md#status)."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def alive() -> Response:
        """This process answers."""
        return json_response(Health("alive"))

    @blueprint.get("/readyz")
    def ready() -> Response:
        """The supervisor answers too and takes runs, commands find the service, and the first run
        need not wait for what is compiled at the start."""
        if (refusal := client.status().refusal) is not None:
            raise Unavailable(f"no runs are taken: {refusal}")
        if readiness is not None and (reason := readiness.reason()) is not None:
            raise Unavailable(f"not ready yet: {reason}")
        return json_response(Health("ready"))

    return blueprint

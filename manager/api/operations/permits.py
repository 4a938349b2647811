"""`/permits`: the concurrency budget."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.bodies import from_json
from genvm_manager.protocol.http_api import PermitsReply, PermitsSet


class PermitsBody(Struct, frozen=True):
    permits: Annotated[int, Meta(ge=1, le=1_000_000)]


def routes(client: SupervisorClient) -> Blueprint:
    """`GET` and `POST /permits` (docs/spec/01-http-api.md#configuration)."""
    blueprint = Blueprint("permits", __name__)

    @blueprint.get("/permits")
    def permits() -> Response:
        return json_response(PermitsReply.of(client.permits()))

    @blueprint.post("/permits")
    def set_permits() -> Response:
        body = from_json(read_body(request), PermitsBody)
        return json_response(PermitsSet(client.set_permits(body.permits).total))

    return blueprint

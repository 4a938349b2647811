"""`/log/level`, `/manifest/reload` and `/env`: what can be changed while the service runs."""

from __future__ import annotations

from flask import Blueprint, Response, request
from msgspec import Struct

from genvm_manager.base.logging.lines import Level
from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.bodies import from_json
from genvm_manager.protocol.http_api import EnvVarSet, LogLevelSet, ManifestReloaded


class LogLevelBody(Struct, frozen=True):
    level: Level


class EnvBody(Struct, frozen=True):
    """`value` may be a secret: it is neither logged nor returned."""

    key: str
    value: str


def routes(client: SupervisorClient) -> Blueprint:
    """`POST /log/level`, `/manifest/reload` and `/env` (docs/spec/01-http-api.md#configuration)."""
    blueprint = Blueprint("configuration", __name__)

    @blueprint.post("/log/level")
    def set_log_level() -> Response:
        body = from_json(read_body(request), LogLevelBody)
        return json_response(LogLevelSet(client.set_log_level(body.level).level))

    @blueprint.post("/manifest/reload")
    def reload_manifest() -> Response:
        client.reload_manifest()
        return json_response(ManifestReloaded())

    @blueprint.post("/env")
    def set_env() -> Response:
        body = from_json(read_body(request), EnvBody)
        client.set_env(body.key, body.value)
        return json_response(EnvVarSet(body.key))

    return blueprint

"""`/llm`: whether providers work."""

from __future__ import annotations

from flask import Blueprint, Response, request
from msgspec import Struct

from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.bodies import from_json
from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt


class LlmCheckBody(Struct, frozen=True):
    """Each configuration is asked each prompt."""

    configs: list[CheckConfig]
    test_prompts: list[CheckPrompt]


def routes(client: SupervisorClient) -> Blueprint:
    """`POST /llm/check` (docs/spec/01-http-api.md#llm-check)."""
    blueprint = Blueprint("llm", __name__)

    @blueprint.post("/llm/check")
    def check() -> Response:
        body = from_json(read_body(request), LlmCheckBody)
        return json_response(client.check_llm(body.configs, body.test_prompts).rows)

    return blueprint

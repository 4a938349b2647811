"""`/vm-error`: what an error code of a run means."""

from __future__ import annotations

from flask import Blueprint, Response, request

from genvm_manager.base.errors import BadRequest
from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.contract.vm_errors import describe
from genvm_manager.protocol.http_api import VmErrorDescription


def routes(_: SupervisorClient) -> Blueprint:
    """`GET /vm-error/describe` (docs/spec/01-http-api.md#runs); it needs no supervisor."""
    blueprint = Blueprint("vm_error", __name__)

    @blueprint.get("/vm-error/describe")
    def describe_error() -> Response:
        code = request.args.get("error")
        if code is None:
            raise BadRequest("error: missing; ask as in /vm-error/describe?error=OOM")
        return json_response(VmErrorDescription(describe(code)))

    return blueprint

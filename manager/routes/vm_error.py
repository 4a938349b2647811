"""`/vm-error`: what an error code of a run means."""

from __future__ import annotations

from flask import Blueprint, Response, request

from protocol.errors import BadRequest
from protocol.vm_errors import describe

from ..replies import VmErrorDescription
from ..responses import json_response
from ..supervisor_client import SupervisorClient


def routes(_: SupervisorClient) -> Blueprint:
    """`GET /vm-error/describe` (spec 01, runs); it needs no supervisor."""
    blueprint = Blueprint("vm_error", __name__)

    @blueprint.get("/vm-error/describe")
    def describe_error() -> Response:
        code = request.args.get("error")
        if code is None:
            raise BadRequest("error: missing; ask as in /vm-error/describe?error=OOM")
        return json_response(VmErrorDescription(describe(code)))

    return blueprint

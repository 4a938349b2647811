"""`/genvm/run/readonly`: a contract's schema, told by the contract itself."""

from __future__ import annotations

from flask import Blueprint, Response, request

from protocol.contract_code import MAX_CODE, specified_major
from protocol.errors import BadRequest

from ..contract_schema import schema_in
from ..replies import ContractSchema
from ..responses import json_response
from ..supervisor_client import SupervisorClient
from ..transfers import read_body
from .contract import deployment_time


def routes(client: SupervisorClient) -> Blueprint:
    """`POST /genvm/run/readonly` (spec 01, runs)."""
    blueprint = Blueprint("readonly", __name__)

    @blueprint.post("/genvm/run/readonly")
    def read_schema() -> Response:
        timestamp = deployment_time(request)
        code = read_body(request)
        if len(code) > MAX_CODE:
            raise BadRequest(f"body: a contract's code may have {MAX_CODE} bytes, not {len(code)}")
        major = specified_major(code, client.newest_major(timestamp).major)
        return json_response(ContractSchema(schema_in(client.read_schema(major, timestamp, code))))

    return blueprint

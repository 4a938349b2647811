"""`/genvm/run/readonly`: a contract's schema, told by the contract itself."""

from __future__ import annotations

from flask import Blueprint, Response, request

from genvm_manager.base.errors import BadRequest
from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.contract_schema import schema_in
from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.contract.code import MAX_CODE, specified_major
from genvm_manager.protocol.http_api import ContractSchema

from .contract import deployment_time


def routes(client: SupervisorClient) -> Blueprint:
    """`POST /genvm/run/readonly` (docs/spec/01-http-api.md#runs)."""
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

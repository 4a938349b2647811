"""`/contract`: what a node has to know of a contract before it deploys it."""

from __future__ import annotations

from flask import Blueprint, Request, Response, request

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.text.timestamps import parse_rfc3339
from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.contract.code import specified_major
from genvm_manager.protocol.contract.storage_layout import pre_deploy_writes
from genvm_manager.protocol.http_api import DetectedVersion, PreDeployWrites

_TIME = "Deployment-Timestamp"


def routes(client: SupervisorClient) -> Blueprint:
    """`POST /contract/detect-version` and `/contract/pre-deploy-writes`.

    Source: docs/spec/01-http-api.md#contracts.
    """
    blueprint = Blueprint("contract", __name__)

    def major_of(code: bytes) -> int:
        newest = client.newest_major(deployment_time(request)).major
        return specified_major(code, newest)

    @blueprint.post("/contract/detect-version")
    def detect_version() -> Response:
        return json_response(DetectedVersion(major_of(read_body(request))))

    @blueprint.post("/contract/pre-deploy-writes")
    def writes() -> Response:
        code = read_body(request)
        found = pre_deploy_writes(major_of(code), code)
        return json_response(PreDeployWrites([(write.key, write.content) for write in found]))

    return blueprint


def deployment_time(request: Request) -> float:
    """Seconds since 1970, from the header. Raises `BadRequest`."""
    given = request.headers.get(_TIME)
    if given is None:
        raise BadRequest(f"{_TIME}: missing; send this header, such as 2026-01-31T12:00:00Z")
    try:
        return parse_rfc3339(given).timestamp()
    except ValueError as error:
        raise BadRequest(f"{_TIME}: {error}") from None

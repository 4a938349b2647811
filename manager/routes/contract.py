"""`/contract`: what a node has to know of a contract before it deploys it."""

from __future__ import annotations

from flask import Blueprint, Request, Response, request

from protocol.contract_code import specified_major
from protocol.errors import BadRequest
from protocol.storage_layout import pre_deploy_writes
from protocol.timestamps import parse_rfc3339

from ..replies import DetectedVersion, PreDeployWrites
from ..responses import json_response
from ..supervisor_client import SupervisorClient
from ..transfers import read_body

_TIME = "Deployment-Timestamp"


def routes(client: SupervisorClient) -> Blueprint:
    """`POST /contract/detect-version` and `/contract/pre-deploy-writes` (spec 01, contracts)."""
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

"""`/genvm`: start a run, read it, end it."""

from __future__ import annotations

from flask import Blueprint, Request, Response, request

from genvm_manager.base.errors import BadRequest, RunNotFound
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.base.text.numbers import whole_number
from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.manager.api.run_hosts import require_run_host
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.bodies import from_calldata, from_json
from genvm_manager.protocol.http_api import (
    ArtifactReply,
    FinishedRunReply,
    RunReply,
    RunStarted,
    ShutdownCompleted,
)
from genvm_manager.protocol.ipc.runs import MAX_ARTIFACT_PART, Artifact
from genvm_manager.protocol.limits import MAX_RUN_ID, MAX_WAIT
from genvm_manager.protocol.run_request import RunRequest

DEFAULT_GRACE_MS = 30_000
MAX_GRACE_MS = 3_600_000
_WHITESPACE = b" \t\r\n"


def routes(client: SupervisorClient) -> Blueprint:
    """`POST /genvm/run`, `GET` and `DELETE /genvm/<id>`, its outputs in parts.

    Source: docs/spec/01-http-api.md#runs.
    """
    blueprint = Blueprint("genvm", __name__)

    @blueprint.post("/genvm/run")
    def start() -> Response:
        command = _run_request(request).command()
        require_run_host(command.host)
        started = client.start_run(command)
        return json_response(RunStarted(started.id))

    @blueprint.get("/genvm/<number:genvm_id>")
    def read(genvm_id: int) -> Response:
        wait, as_base64, outputs = _wait(request), _wants_base64(request), _wants_outputs(request)
        run = client.get_run(genvm_id, wait, outputs).run if genvm_id <= MAX_RUN_ID else None
        status = None if run is None else FinishedRunReply.of(run, as_base64=as_base64)
        return json_response(RunReply(genvm_id, status))

    @blueprint.get("/genvm/<number:genvm_id>/artifact")
    def read_artifact(genvm_id: int) -> Response:
        field = _artifact(request)
        offset = _byte_count(request, "offset", 0)
        max_len = _byte_count(request, "max_len", MAX_ARTIFACT_PART)
        _require_possible(genvm_id)
        part = client.read_artifact(genvm_id, field, offset, max_len)
        return json_response(ArtifactReply.of(genvm_id, field, part))

    @blueprint.delete("/genvm/<number:genvm_id>")
    def end(genvm_id: int) -> Response:
        grace = _grace(request)
        _require_possible(genvm_id)
        client.cancel_run(genvm_id, grace)
        return json_response(ShutdownCompleted(genvm_id))

    return blueprint


def _run_request(request: Request) -> RunRequest:
    """The run request in the body, in either of its two forms.

    Clients that name no type or the wrong one (`curl -d` says it sends a form) are understood too:
    no calldata map begins with a brace or a space.
    """
    body = read_body(request)
    if request.mimetype == "application/json" or body.lstrip(_WHITESPACE).startswith(b"{"):
        return from_json(body, RunRequest)
    return from_calldata(body, RunRequest)


def _require_possible(genvm_id: int) -> None:
    if genvm_id > MAX_RUN_ID:
        raise RunNotFound(f"GenVM with id {genvm_id} not found")


def _wait(request: Request) -> float:
    """Seconds, from `?wait=30s`."""
    given = request.args.get("wait")
    if given is None:
        return 0.0
    try:
        return min(parse_duration(given), MAX_WAIT)
    except ValueError as error:
        raise BadRequest(f"wait: {error}") from None


def _wants_base64(request: Request) -> bool:
    return _choice(request, "bytes", "list", "base64") == "base64"


def _wants_outputs(request: Request) -> bool:
    return _choice(request, "outputs", "all", "none") == "all"


def _choice(request: Request, name: str, usual: str, other: str) -> str:
    given = request.args.get(name, usual)
    if given not in (usual, other):
        raise BadRequest(f"{name}: expected {usual} or {other}, got {given[:40]!r}")
    return given


def _artifact(request: Request) -> Artifact:
    names = ", ".join(Artifact)
    given = request.args.get("field")
    if given is None:
        raise BadRequest(f"field: missing; name one of {names}")
    try:
        return Artifact(given)
    except ValueError:
        raise BadRequest(f"field: expected one of {names}, got {given[:40]!r}") from None


def _byte_count(request: Request, name: str, absent: int) -> int:
    """Bytes, from a query such as `?offset=0`."""
    try:
        return whole_number(request.args.get(name, str(absent)), MAX_RUN_ID)
    except ValueError:
        expected = "expected a whole number of bytes"
        raise BadRequest(f"{name}: {expected}, got {request.args[name][:40]!r}") from None


def _grace(request: Request) -> float:
    """Seconds, from `?wait_timeout_ms=30000`."""
    given = request.args.get("wait_timeout_ms", str(DEFAULT_GRACE_MS))
    try:
        return whole_number(given, MAX_GRACE_MS) / 1000
    except ValueError:
        expected = f"expected whole milliseconds up to {MAX_GRACE_MS}"
        raise BadRequest(f"wait_timeout_ms: {expected}, got {given[:40]!r}") from None

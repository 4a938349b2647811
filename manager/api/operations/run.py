"""`POST /genvm/run`: start a run (docs/spec/01-http-api.md#runs)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from flask import request

from genvm_manager.manager.api.declaration.content import BYTES, JSON, Json, Plain
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, bad_request, busy, failed
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.manager.api.run_hosts import require_run_host
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol import calldata
from genvm_manager.protocol.bodies import from_calldata, from_json
from genvm_manager.protocol.http_api import RunStarted
from genvm_manager.protocol.ipc import replies
from genvm_manager.protocol.limits import QUEUE_TIMEOUT
from genvm_manager.protocol.run_request import RunRequest

_WHITESPACE = b" \t\r\n"
_SENDER = "0x" + "10" * 20

EXAMPLE_REQUEST: dict[str, Any] = {
    "major": 0,
    "message": {
        "contract_address": "0x" + "5f" * 20,
        "sender_address": _SENDER,
        "origin_address": _SENDER,
        "chain_id": 61_999,
        "value": 0,
        "is_init": False,
    },
    "calldata": b64encode(calldata.encode({"method": "greet"})).decode(),
    "timestamp": "2026-01-31T12:00:00Z",
    "host": "unix:///run/node/host.sock",
    "is_sync": True,
    "deadline": "30s",
}


def _as_calldata(example: dict[str, Any]) -> str:
    """Return the other form of a request in JSON; its bytes as base64."""
    addresses = ("contract_address", "sender_address", "origin_address")
    message = dict(example["message"])
    message |= {name: calldata.Address(message[name]) for name in addresses}
    fields = example | {"calldata": b64decode(example["calldata"]), "message": message}
    return b64encode(calldata.encode(fields)).decode()


EXAMPLE_AS_CALLDATA = _as_calldata(EXAMPLE_REQUEST)

_BODIES = (
    Json(RunRequest, EXAMPLE_REQUEST),
    Plain(
        BYTES,
        "Calldata of the same map: bytes and addresses as such, not as text. The example for JSON "
        f"is, shown as base64: `{EXAMPLE_AS_CALLDATA}`",
        is_binary=True,
    ),
)


def start(sources: Sources) -> RunStarted:
    """Start a run; return its id when its executor has started."""
    command = _run_request().command()
    require_run_host(command.host)
    started = sources.supervisor.ask(
        command, replies.RunStarted, QUEUE_TIMEOUT, sources.limits.starters, is_repeatable=False
    )
    return RunStarted(started.id)


def _run_request() -> RunRequest:
    """Return the run request in the body, in either of its two forms.

    A body with a wrong media type is understood too (`curl -d` names that of a form): no calldata
    map begins with a brace or a space.
    """
    body = read_body(request)
    if request.mimetype == JSON or body.lstrip(_WHITESPACE).startswith(b"{"):
        return from_json(body, RunRequest)
    return from_calldata(body, RunRequest)


OPERATIONS = (
    Operation(
        "POST",
        "/genvm/run",
        "Runs",
        "Start a run",
        start,
        Json(RunStarted, {"id": 12_345, "result": "started"}),
        "Answers when the executor has started; waits while too few permits are free. Unknown "
        "fields are ignored. A JSON body needs no `Content-Type`.",
        bodies=_BODIES,
        errors=(
            bad_request("message.chain_id: missing"),
            failed(
                "The manifest has no such executor.",
                "the manifest offers no executor for major 7 at 2026-01-31T12:00:00.000Z",
            ),
            failed(
                "The executor does not start.",
                "the executor did not start: /opt/genvm/bin/genvm: Permission denied",
            ),
            failed(
                "A module that the run needs does not run.",
                "modules are required but not running: the llm module is stopped; start it by "
                "POST /module/start, or name in `modules` those that the run needs",
            ),
            UNAVAILABLE,
            busy("The queue is full.", "100 runs wait for permits already, no more may"),
        ),
    ),
)

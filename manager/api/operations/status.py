"""`/status`: modules, permits and executions (docs/spec/01-http-api.md#status)."""

from __future__ import annotations

from typing import Any

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.http_api import StatusReply, WrittenStatus
from genvm_manager.protocol.ipc.commands import GetStatus
from genvm_manager.protocol.ipc.status import Status

EXAMPLE_TIME = "2026-01-31T12:00:00Z"


def _module(state: str, workers: list[dict[str, Any]]) -> dict[str, Any]:
    fields = {"state": state, "since": EXAMPLE_TIME, "reason": None}
    return {**fields, "workers": workers, "retiring": 0}


_WORKER = {"pid": 4712, "sessions": 1, "rss_bytes": 548_234_496, "cpu_seconds": 3.02}
EXAMPLE_STATUS = {
    "accepting": True,
    "llm_module": "stopped",
    "web_module": "running",
    "modules": {"llm": _module("stopped", []), "web": _module("running", [_WORKER])},
    "permits": {
        "current": 7,
        "max": 8,
        "in_use": 1,
        "queued": 0,
        "per_sync_run": 1,
        "per_nondet_run": 2,
    },
    "executions": {
        "12345": {
            "version": "v0.2.7",
            "state": "running",
            "cause": None,
            "accepted_at": EXAMPLE_TIME,
            "started_at": EXAMPLE_TIME,
            "strict_deadline": "2026-01-31T12:20:00Z",
            "result": None,
            "pid": 4711,
            "rss_bytes": 48_234_496,
            "cpu_seconds": 0.21,
        }
    },
    "executions_omitted": 0,
    "sampled_at": EXAMPLE_TIME,
    "audit": "ok",
}


def read_status(sources: Sources) -> WrittenStatus:
    """Return the state of the whole service."""
    return WrittenStatus.of(sources.supervisor.ask(GetStatus(), Status))


OPERATIONS = (
    Operation(
        "GET",
        "/status",
        "Status",
        "Read the state of modules, permits and executions",
        read_status,
        Json(StatusReply, EXAMPLE_STATUS),
        "Lists all runs that have not finished and the newest hundred that have; the others are "
        "counted.",
        errors=(UNAVAILABLE,),
    ),
)

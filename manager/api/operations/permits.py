"""`/permits`: the concurrency budget (docs/spec/01-http-api.md#configuration)."""

from __future__ import annotations

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, bad_request
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.http_api import PermitsReply, PermitsSet
from genvm_manager.protocol.http_requests import PermitsBody
from genvm_manager.protocol.ipc.commands import GetPermits, SetPermits
from genvm_manager.protocol.ipc.status import Permits

_BODY = Json(PermitsBody, {"permits": 8})


def read_permits(sources: Sources) -> PermitsReply:
    """Return the budget and what is taken of it."""
    return PermitsReply.of(sources.supervisor.ask(GetPermits(), Permits))


def set_permits(sources: Sources) -> PermitsSet:
    """Change the budget; return the one now in force."""
    command = SetPermits(_BODY.read().permits)
    return PermitsSet(sources.supervisor.ask(command, Permits).total)


OPERATIONS = (
    Operation(
        "GET",
        "/permits",
        "Configuration",
        "Read the concurrency budget",
        read_permits,
        Json(PermitsReply, {"permits": 7, "max": 8, "in_use": 1, "queued": 0}),
        errors=(UNAVAILABLE,),
    ),
    Operation(
        "POST",
        "/permits",
        "Configuration",
        "Change the concurrency budget",
        set_permits,
        Json(PermitsSet, {"permits": 8, "result": "permits_set"}),
        "Running runs keep their permits when the budget shrinks; new runs wait.",
        bodies=(_BODY,),
        errors=(bad_request("permits: expected int, got str"), UNAVAILABLE),
    ),
)

"""`/healthz` and `/readyz`, for whatever starts or watches the service.

Source: docs/spec/01-http-api.md#status.
"""

from __future__ import annotations

from genvm_manager.base.errors import Unavailable
from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, busy
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.http_api import Health
from genvm_manager.protocol.ipc.commands import GetStatus
from genvm_manager.protocol.ipc.status import Status


def alive(_: Sources) -> Health:
    """Return that this process answers."""
    return Health("alive")


def ready(sources: Sources) -> Health:
    """Return that the supervisor takes runs, commands find the service, and the built-in executor
    is compiled. Raises `Unavailable`, which says what is not so.
    """
    if (refusal := sources.supervisor.ask(GetStatus(), Status).refusal) is not None:
        raise Unavailable(f"no runs are taken: {refusal}")
    if sources.readiness is not None and (reason := sources.readiness.reason()) is not None:
        raise Unavailable(f"not ready yet: {reason}")
    return Health("ready")


OPERATIONS = (
    Operation(
        "GET",
        "/healthz",
        "Status",
        "Check that the HTTP process lives",
        alive,
        Json(Health, {"status": "alive"}),
        "Needs no token and no supervisor.",
        is_open=True,
    ),
    Operation(
        "GET",
        "/readyz",
        "Status",
        "Check that the service takes runs",
        ready,
        Json(Health, {"status": "ready"}),
        "503 also while the built-in executor is still being compiled; runs are taken meanwhile.",
        errors=(
            UNAVAILABLE,
            busy(
                "The store or the state folder cannot be used.",
                "no runs are taken: the supervisor is shutting down",
            ),
            busy(
                "Commands would not find the service, or something is still being prepared.",
                "not ready yet: compiling the built-in executor, 12 s so far",
            ),
        ),
    ),
)

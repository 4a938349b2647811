"""The operations of the HTTP API, one file per resource, each of them declared there once.

A file defines the handlers of its operations and `OPERATIONS`, from which the routes and the
OpenAPI document are made; a new file is listed here. A new operation takes its file here, its
documents in `protocol/http_api.py` (and `http_requests.py` for a body), a method of
`manager/client/client.py`, and, where the supervisor has no such command yet, `protocol/ipc` and
a handler there.
"""

from __future__ import annotations

from genvm_manager.manager.api.declaration.operation import Operation

from . import (
    artifact,
    configuration,
    contract,
    docs,
    events,
    genvm,
    health,
    llm,
    metrics,
    modules,
    page,
    permits,
    readonly,
    run,
    status,
    vm_error,
)

_RESOURCES = (
    status,
    events,
    health,
    metrics,
    run,
    genvm,
    artifact,
    vm_error,
    modules,
    llm,
    readonly,
    contract,
    permits,
    configuration,
    page,
    docs,
)

OPERATIONS: tuple[Operation, ...] = tuple(
    operation for resource in _RESOURCES for operation in resource.OPERATIONS
)
"""In the order of the document."""

"""`/vm-error`: the meaning of a run's error code (docs/spec/01-http-api.md#runs)."""

from __future__ import annotations

from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import bad_request
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.declaration.parameters import Parameter
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.contract.vm_errors import describe
from genvm_manager.protocol.http_api import VmErrorDescription

_CODE = Parameter(
    "error", "query", "The code, as a run's result has it.", {"type": "string"}, "OOM storage", str
)


def describe_error(_: Sources) -> VmErrorDescription:
    """Return what the code means; this needs no supervisor."""
    return VmErrorDescription(describe(_CODE.read()))


OPERATIONS = (
    Operation(
        "GET",
        "/vm-error/describe",
        "Runs",
        "Read what an error code means",
        describe_error,
        Json(VmErrorDescription, {"description": describe("OOM storage")}),
        "For the author of the contract: what happened, and what to do about it.",
        parameters=(_CODE,),
        errors=(bad_request("error: missing; add it to the query, such as ?error=OOM+storage"),),
    ),
)

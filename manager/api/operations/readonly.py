"""`/genvm/run/readonly`: the schema that a contract gives of itself."""

from __future__ import annotations

from genvm_manager.base.errors import BadRequest
from genvm_manager.manager.api.contract_schema import schema_in
from genvm_manager.manager.api.declaration.content import Json
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE, failed
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.contract.code import MAX_CODE, specified_major
from genvm_manager.protocol.http_api import ContractSchema
from genvm_manager.protocol.ipc.commands import ReadSchema
from genvm_manager.protocol.ipc.replies import RunStatus
from genvm_manager.protocol.limits import QUEUE_TIMEOUT

from .contract import BAD_TIME, CODE, DEPLOYED_AT, NO_VERSION, newest_major


def read_schema(sources: Sources) -> ContractSchema:
    """Run the code's `#get-schema`; the run ends early when the caller hangs up."""
    deployed_at = DEPLOYED_AT.read()
    code = CODE.read()
    if len(code) > MAX_CODE:
        raise BadRequest(f"body: a contract's code may have {MAX_CODE} bytes, not {len(code)}")
    major = specified_major(code, newest_major(sources, deployed_at))
    command = ReadSchema(major, deployed_at, code)
    limiter = sources.limits.starters
    status = sources.supervisor.ask(command, RunStatus, QUEUE_TIMEOUT, limiter)
    return ContractSchema(schema_in(status))


OPERATIONS = (
    Operation(
        "POST",
        "/genvm/run/readonly",
        "Contracts",
        "Read a contract's schema",
        read_schema,
        Json(ContractSchema, {"schema": '{"methods": {}}'}),
        "Runs the contract's own `#get-schema`, which may only read. The run takes permits.",
        (DEPLOYED_AT,),
        (CODE,),
        (
            BAD_TIME,
            NO_VERSION,
            failed(
                "The contract failed, took too long or has no schema.",
                "exit_code 1: NameError: name 'u265' is not defined (contract.py:7, in Token) "
                "(genvm-manager logs 12345 or GET /genvm/12345 says more)",
            ),
            UNAVAILABLE,
        ),
    ),
)

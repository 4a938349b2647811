"""The outcome of a run of `#get-schema`: a schema, or what the contract did instead."""

from __future__ import annotations

import reprlib
from typing import Any

import msgspec

from genvm_manager.base.errors import ManagerError, RequestFailed, Unavailable
from genvm_manager.protocol.contract.vm_errors import describe, with_cause
from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.ipc.replies import RunStatus
from genvm_manager.protocol.ipc.runs import Cause, FinishedRun
from genvm_manager.protocol.run_end import describe_exit
from genvm_manager.protocol.run_result import ResultCode, RunResult, decode_result

MAX_SHOWN = 300
"""Characters of a contract's text that an error repeats."""

_MAX_VALUES = 1 << 16
"""Values that a result may have; one with a schema has a dozen."""


def schema_in(status: RunStatus) -> str:
    """Return the JSON document that the run returned.

    Raises `RequestFailed`, which says why there is none and names the run, and `Unavailable` when
    the cause was not the contract.
    """
    if status.run is None:
        raise ManagerError(f"run {status.id} was lost; the supervisor's log says why")
    try:
        return _document(_result(status.run), status.run.contract_error)
    except _NoSchema as reason:
        raise RequestFailed(
            f"{reason} (genvm-manager logs {status.id} or GET /genvm/{status.id} says more)"
        ) from None


class _NoSchema(Exception):
    """There is no schema; the message says what the run gave instead."""


def _result(run: FinishedRun) -> RunResult:
    if run.cause is Cause.SHUTDOWN:
        raise Unavailable("the supervisor is shutting down", retry_after=5)
    if run.cause is Cause.DEADLINE:
        raise _NoSchema(f"timeout: the contract {run.reason}. {describe('timeout')}")
    if run.cause is Cause.MEMORY:
        raise _NoSchema(f"OOM: the contract {run.reason}. {describe('OOM')}")
    if run.cause is not Cause.EXITED:
        raise _NoSchema(f"the run that asks for the schema was {run.cause}")
    if run.result is None:
        raise _NoSchema(f"the executor gave no result and {describe_exit(run.exit)}")
    try:
        return decode_result(run.result, _MAX_VALUES)
    except MalformedMessage as error:
        raise _NoSchema(f"the executor's result is not understood: {error}") from None


def _document(result: RunResult, contract_error: str | None) -> str:
    match result.code:
        case ResultCode.VM_ERROR:
            raise _NoSchema(_described(str(result.data), contract_error))
        case ResultCode.USER_ERROR:
            raise _NoSchema(f"the contract refuses to tell: user error {_shown(result.data)}")
        case ResultCode.INTERNAL_ERROR:
            raise _NoSchema(f"the executor failed: {_shown(result.data)}")
    if not isinstance(result.data, str):
        kind = type(result.data).__name__
        raise _NoSchema(f"the contract has no schema: #get-schema returned {kind}, expected str")
    try:
        msgspec.json.decode(result.data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise _NoSchema(
            f"the contract has no schema: #get-schema returned {_shown(result.data)}, expected JSON"
        ) from None
    return result.data


def _described(code: str, contract_error: str | None) -> str:
    """Return a VM error code with what led to it, else with its meaning, where one is known."""
    if contract_error:
        return with_cause(code[:MAX_SHOWN], contract_error)
    meaning = describe(code)
    return _shown(code) if meaning is None else f"{code[:MAX_SHOWN]}: {meaning}"


def _shown(value: Any) -> str:
    if isinstance(value, (str, bytes)):
        return repr(value[:MAX_SHOWN])[:MAX_SHOWN]
    try:
        return repr(value)[:MAX_SHOWN]
    except ValueError:  # Python writes no int of more than 4300 digits.
        return reprlib.repr(hex(value)) if isinstance(value, int) else type(value).__name__

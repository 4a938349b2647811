"""The run that reads a contract's schema (docs/spec/01-http-api.md#runs)."""

from __future__ import annotations

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.text.timestamps import to_rfc3339
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.ipc.commands import ReadSchema, StartRun
from genvm_manager.protocol.ipc.runs import Capture, MajorSelector
from genvm_manager.protocol.permissions import READ

CONTRACT = Address(bytes(19) + b"\1")
"""The address of the contract in such a run; no chain has a contract there."""

_NOBODY = Address(bytes(20))
_CALL = calldata.encode({"method": "#get-schema"})


def schema_run(command: ReadSchema, deadline: float) -> StartRun:
    """Return a run that may only read, for at most `deadline` seconds.

    Its host is known only when the supervisor serves it. Raise `BadRequest` for a timestamp that
    has no date.
    """
    message = {
        "contract_address": CONTRACT,
        "sender_address": _NOBODY,
        "origin_address": _NOBODY,
        "chain_id": 0,
        "value": 0,
        "is_init": False,
        "datetime": _date(command.timestamp),
    }
    return StartRun(
        selector=MajorSelector(command.major),
        timestamp=command.timestamp,
        host="",
        is_sync=True,
        modules=[],
        permissions=READ,
        capture=Capture.TAIL,
        is_unsafe=False,
        deadline=deadline,
        token=None,
        extra_args=[],
        execution_data=ExecutionData(_CALL, message, "", None, None, {}).encode(),
    )


def _date(timestamp: float) -> str:
    try:
        return to_rfc3339(timestamp)
    except (ValueError, OverflowError, OSError):
        raise BadRequest("timestamp: expected a time before the year 10000 in UTC") from None

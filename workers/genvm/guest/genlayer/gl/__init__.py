"""`gl`: everything of the SDK that needs the machine, under one name.

What most contracts use is here at once; the rest is loaded when it is first named, because each
call of a contract pays for what it loads.
"""

from __future__ import annotations

from .._machine import wire
from .._machine.contract import Contract
from .._machine.message import MessageType, message, message_raw
from ..py import calldata, storage
from .annotations import private, public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UserError = Rollback = wire.UserError

_MODULES = {
    "advanced": "gl.advanced",
    "eq_principle": "gl.eq_principle",
    "evm": "py.evm",
    "nondet": "gl.nondet",
    "vm": "gl.vm",
}
"""What a contract that names none of them does not pay for."""

_ELSEWHERE = {
    "ContractAt": "genvm_contracts",
    "ContractProxy": "genvm_contracts",
    "contract_interface": "genvm_contracts",
    "deploy_contract": "genvm_contracts",
    "get_contract_at": "genvm_contracts",
    "Event": "events",
    "trace": "advanced",
    "trace_time_micro": "advanced",
    "exec_prompt": "nondet",
    "get_webpage": "nondet",
    "eq_principle_strict_eq": "eq_principle",
    "eq_principle_prompt_comparative": "eq_principle",
    "eq_principle_prompt_non_comparative": "eq_principle",
}
"""The submodule of each other name that is loaded when it is first used."""

__all__ = (  # noqa: PLE0604 - those of other modules come from the tables above
    "Contract",
    "MessageType",
    "Rollback",
    "UserError",
    "calldata",
    "message",
    "message_raw",
    "private",
    "public",
    "storage",
    *_MODULES,
    *_ELSEWHERE,
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = _module(_MODULES[name])
    elif name in _ELSEWHERE:
        value = getattr(_module(f"gl.{_ELSEWHERE[name]}"), name)
    else:
        raise AttributeError(f"module 'genlayer.gl' has no attribute {name!r}")
    globals()[name] = value
    return value


def _module(path: str) -> Any:
    return __import__(f"genlayer.{path}", None, None, ("",))

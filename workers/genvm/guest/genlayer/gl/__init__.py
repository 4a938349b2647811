"""`gl`: everything of the SDK that needs the machine, under one name.

Source: docs/spec/07-python-sdk.md#1-modules. What most contracts use is here at once; the rest is
loaded when it is first named, because each call of a contract pays for what it loads.
"""

from __future__ import annotations

from .._machine.contract import Contract
from .._machine.message import MessageRawType, MessageType, message_raw
from .._machine.wire import UserError
from ..py import calldata, storage, types
from ..py.types import Lazy
from .annotations import private, public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "Contract",
    "Event",
    "Lazy",
    "MessageRawType",
    "MessageType",
    "advanced",
    "calldata",
    "contract_interface",
    "deploy_contract",
    "eq_principle",
    "evm",
    "get_contract_at",
    "message",
    "message_raw",
    "nondet",
    "private",
    "public",
    "storage",
    "vm",
    "wasi",
)

Rollback = UserError
"""An older name, as are `gl.UserError` and the last ones of the table below."""

globals().update(
    types.BY_NAME,
    Address=types.Address,
    Keccak256=types.Keccak256,
    SizedArray=types.SizedArray,
)

_MODULES = {
    "advanced": "genlayer.gl.advanced",
    "eq_principle": "genlayer.gl.eq_principle",
    "events": "genlayer.gl.events",
    "evm": "genlayer.py.evm",
    "genvm_contracts": "genlayer.gl.genvm_contracts",
    "nondet": "genlayer.gl.nondet",
    "vm": "genlayer.gl.vm",
    "wasi": "_genlayer_wasi",
}
"""The modules that are loaded when they are first named."""

_HOMES = {
    "message": "_machine.message",
    "BaseContract": "gl.genvm_contracts",
    "ContractProxy": "gl.genvm_contracts",
    "contract_interface": "gl.genvm_contracts",
    "deploy_contract": "gl.genvm_contracts",
    "get_contract_at": "gl.genvm_contracts",
    "Event": "gl.events",
    "trace": "_machine.tracing",
    "trace_time_micro": "_machine.tracing",
    "ContractAt": "gl.genvm_contracts",
    "exec_prompt": "gl.nondet",
    "get_webpage": "gl.nondet",
    "eq_principle_strict_eq": "gl.eq_principle",
    "eq_principle_prompt_comparative": "gl.eq_principle",
    "eq_principle_prompt_non_comparative": "gl.eq_principle",
}
"""The modules of other names; `message` is not known yet when this one is loaded."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = _load(_MODULES[name])
    elif name in _HOMES:
        value = getattr(_load(f"genlayer.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _load(module: str) -> Any:
    return __import__(module, None, None, ("",))

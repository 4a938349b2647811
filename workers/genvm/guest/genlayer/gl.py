"""`gl`: everything of the SDK that needs the machine, under one name.

What most contracts use is here at once; the rest is loaded when it is first named, because each
call of a contract pays for what it loads.
"""

from __future__ import annotations

from . import calldata, storage, wire
from .contract import Contract, private, public
from .message import MessageType, message, message_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UserError = Rollback = wire.UserError

_MODULES = ("advanced", "eq_principle", "evm", "nondet", "vm")
_ELSEWHERE = {
    "ContractAt": "contract_at",
    "ContractProxy": "contract_at",
    "contract_interface": "contract_at",
    "deploy_contract": "contract_at",
    "get_contract_at": "contract_at",
    "Event": "events",
    "trace": "advanced",
    "trace_time_micro": "advanced",
    "exec_prompt": "nondet",
    "get_webpage": "nondet",
    "eq_principle_strict_eq": "eq_principle",
    "eq_principle_prompt_comparative": "eq_principle",
    "eq_principle_prompt_non_comparative": "eq_principle",
}

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
    home = name if name in _MODULES else _ELSEWHERE.get(name)
    if home is None:
        raise AttributeError(f"gl has no {name}")
    value = __import__(f"genlayer.{home}", None, None, (name,))
    if home != name:
        value = getattr(value, name)
    globals()[name] = value
    return value

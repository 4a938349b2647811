"""One run of a contract, from the start message to the result.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

import builtins
import gc
import posix
import sys

from ..py.calldata import decode
from ..py.storage.records import bind, field_defaults
from ..py.storage.root import CONTRACT_SLOT, Root
from ..py.storage.slots import forbid_writes
from . import host
from .contract import Contract
from .message import message_raw, set_message
from .wire import UserError, end_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAIN, _SANDBOX, _CONSENSUS_STAGE = range(3)


def main() -> None:
    """Run what the start message asks for. Returns only by an exception of the contract."""
    sys.excepthook = _report
    builtins.exit = builtins.quit = sys.exit  # as the `site` module does, which is left out
    set_message(decode(_read_stdin()))
    try:
        result = _run(message_raw["entry_kind"])
        end_run({"Return": result})
    except UserError as error:
        end_run({"UserError": error.message})
    except SystemExit as error:
        from .tracebacks import report_exit

        report_exit(error)
        raise
    except MemoryError:
        host.out_of_memory()


def _report(*failure: Any) -> None:
    """Show an error that nobody caught. What does so is loaded only now."""
    from .tracebacks import report

    report(*failure)


def _read_stdin() -> bytes:
    parts = []
    while part := posix.read(0, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _run(entry_kind: int) -> Any:
    if entry_kind != _MAIN:
        from .shipping import run_shipped

        gc.freeze()
        gc.enable()
        if entry_kind == _CONSENSUS_STAGE:
            forbid_writes("a nondet block cannot write: let it return a value, and write that")
        return run_shipped(message_raw["entry_data"], message_raw["entry_stage_data"])
    import contract

    gc.freeze()
    gc.enable()
    cls = _contract_class(contract)
    call = decode(message_raw["entry_data"])
    if not isinstance(call, dict):
        raise UserError(f"a call is a map of method, args and kwargs, got {type(call).__name__}")
    return _deploy(cls, call) if message_raw["is_init"] else _call(cls, call)


# ------------------------------------------------------------------------- the contract's class


def _contract_class(module: Any) -> type[Contract]:
    """Return the contract class of the module, which no other of its contract classes extends."""
    classes = {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Contract) and value is not Contract
    }
    final = [cls for cls in classes if not any(cls in other.__mro__[1:] for other in classes)]
    if len(final) == 1:
        return final[0]
    if not final:
        raise TypeError("there is no contract here: define `class MyContract(gl.Contract)`")
    names = ", ".join(sorted(cls.__name__ for cls in final))
    raise TypeError(f"a file has one contract class, found {names}")


# ----------------------------------------------------------------------------- calling a method


def _deploy(cls: type[Contract], call: dict[str, Any]) -> Any:
    defines_one = cls.__init__ is not object.__init__
    constructor = cls.__init__ if defines_one else _no_constructor
    _check_value(constructor, "the constructor")
    contract = bind(cls, CONTRACT_SLOT)
    for name, value in field_defaults(cls).items():
        setattr(contract, name, value)
    _apply(constructor, contract, call, "the constructor")
    Root.get().lock_default()


def _no_constructor(_contract: Contract) -> None:
    """Stand for the constructor of a contract class that defines none."""


def _call(cls: type[Contract], call: dict[str, Any]) -> Any:
    name = call.get("method", call.get("", ""))
    if name == "#get-schema":
        return cls.__get_schema__()
    contract = bind(cls, CONTRACT_SLOT)
    if name == "#error":
        return _notify_of_failed_message(contract)
    method = _public_method(cls, name)
    if method is None:
        return _fall_back(contract, name, call)
    _check_value(method, name)
    if method.__gl_readonly__:
        forbid_writes(f"{name} is a view, which cannot write; mark it @gl.public.write")
    return _apply(method, contract, call, name)


def _public_method(cls: type[Contract], name: str) -> Callable[..., Any] | None:
    """Return the method that may be called by this name from outside."""
    if not isinstance(name, str):
        raise UserError(f"a method is named by a str, got {type(name).__name__}")
    if name.startswith(("__", "#")):
        raise UserError(f"{name} cannot be called from outside")
    method = getattr(cls, name, None) if name else None
    return method if getattr(method, "__gl_public__", False) else None


def _fall_back(contract: Contract, name: str, call: dict[str, Any]) -> Any:
    """Serve a message that fits no method (docs/spec/06-contracts.md#storage-layout-and-calls)."""
    cls = type(contract)
    receive = getattr(cls, "__receive__", None)
    if not name and message_raw["value"] > 0 and receive is not None:
        _check_value(receive, "__receive__")
        return receive(contract)
    handler = getattr(cls, "__handle_undefined_method__", None)
    if handler is None:
        raise UserError(_nothing_fits(cls, name))
    _check_value(handler, "__handle_undefined_method__")
    return handler(contract, name, call.get("args", []), call.get("kwargs", {}))


def _nothing_fits(cls: type[Contract], name: str) -> str:
    if name and hasattr(cls, name):
        return f"{name} cannot be called from outside: it is not marked @gl.public"
    if name:
        return f"{cls.__name__} has no method {name}"
    if message_raw["value"] > 0:
        return f"{cls.__name__} has no __receive__: it takes no plain transfers"
    return f"the call names no method, and {cls.__name__} has no __handle_undefined_method__"


def _notify_of_failed_message(contract: Contract) -> Any:
    """Tell the contract, if it asks, that a message of it failed and its value came back."""
    handler = getattr(type(contract), "__on_errored_message__", None)
    if handler is None:
        return None
    _check_value(handler, "__on_errored_message__")
    return handler(contract)


def _check_value(method: Callable[..., Any], name: str) -> None:
    """Refuse value for a method that is not payable."""
    if message_raw["value"] > 0 and not getattr(method, "__gl_payable__", False):
        raise UserError(f"{name} takes no value: it is not marked @gl.public.write.payable")


def _apply(method: Callable[..., Any], contract: Contract, call: dict[str, Any], name: str) -> Any:
    """Call `method` with the arguments of the call; ill-fitting ones are the caller's error."""
    args, kwargs = call.get("args", []), call.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise UserError(f"{name}: args is a list and kwargs is a map")
    try:
        return method(contract, *args, **kwargs)
    except TypeError as error:
        if error.__traceback__.tb_next is None:
            raise UserError(f"{name}: {error}") from None
        raise

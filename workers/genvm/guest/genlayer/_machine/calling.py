"""Calling the contract: its constructor, the method that a call names, or what stands in for it.

Source: docs/spec/07-python-sdk.md#5-the-contract-class-and-calls. What fits no case is an exception
like any other.
"""

from __future__ import annotations

from ..py.storage.host_slots import contract_slot
from ..py.storage.records import instance_of
from .message import message_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .contract import Contract

_ABSENT = object()


def perform(cls: type[Contract], call: dict[str, Any]) -> Any:
    """Return what the contract answers to a call, a map with `method`, `args` and `kwargs`."""
    args, kwargs = call.get("args", ()), call.get("kwargs", {})
    if message_raw["is_init"]:
        return _deploy(cls, args, kwargs)
    name = call.get("method", call.get("", ""))
    if name == "#get-schema":
        return cls.__get_schema__()
    contract = instance_of(cls, contract_slot())
    if name == "#error":
        return cls.__on_errored_message__(contract, *args, **kwargs)
    if name == "" and _is_open(cls.__receive__):
        return cls.__receive__(contract, *args, **kwargs)
    method = _method(cls, name)
    if method is _ABSENT:
        handler = cls.__handle_undefined_method__
        if not _is_open(handler):
            raise TypeError(_nothing_fits(cls, name))
        return handler(contract, name, call.get("args", []), kwargs)
    if not _is_open(method):
        raise TypeError(_not_open(cls, name, method))
    return method(contract, *args, **kwargs)


def _deploy(cls: type[Contract], args: Any, kwargs: Any) -> None:
    from ..py.storage.root import Root

    Root.get().lock_default()
    if getattr(cls.__init__, "__gl_public__", False):
        raise TypeError(f"{cls.__name__}.__init__ is public: take its decorator away")
    cls.__init__(instance_of(cls, contract_slot()), *args, **kwargs)


def _method(cls: type[Contract], name: Any) -> Any:
    """Return the attribute of the class, or `_ABSENT`."""
    if not isinstance(name, str):
        raise TypeError(f"a method is named by a str, got {type(name).__name__}")
    if name.startswith(("__", "#")):
        raise TypeError(f"{name} cannot be called from outside")
    return getattr(cls, name, _ABSENT)


def _is_open(method: Callable[..., Any]) -> bool:
    """Return whether this message may call `method`."""
    is_public = getattr(method, "__gl_public__", False)
    return is_public and (not message_raw["value"] or method.__gl_payable__)


def _not_open(cls: type[Contract], name: str, method: Any) -> str:
    if getattr(method, "__gl_public__", False):
        return f"{cls.__name__}.{name} takes no value: it is not marked @gl.public.write.payable"
    return f"{cls.__name__}.{name} cannot be called from outside: it is not marked @gl.public"


def _nothing_fits(cls: type[Contract], name: str) -> str:
    missing = f"no method {name}" if name else "no __receive__ for a call without method"
    value = " that takes value" if message_raw["value"] else ""
    return f"{cls.__name__} has {missing}, and no public __handle_undefined_method__{value}"

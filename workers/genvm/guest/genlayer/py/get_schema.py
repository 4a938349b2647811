"""The schema of a contract: what `#get-schema` answers.

It is made only when it is asked for, so this module may import what is slow to import. Source:
docs/spec/07-python-sdk.md, section 7.
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping, Sequence

from .types import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ("get_schema",)

_NAMES: dict[Any, str] = {
    typing.Any: "any",
    None: "null",
    type(None): "null",
    bool: "bool",
    int: "int",
    str: "string",
    bytes: "bytes",
    Address: "address",
}
_LEFT_OUT = ("__on_errored_message__", "__receive__", "__handle_undefined_method__")
"""Special methods that may be public, and are called by no name."""


def get_schema(cls: type) -> dict[str, Any]:
    """Return the constructor and the public methods, by name, as the schema has them.

    Raises `TypeError`, with the name of the method, for what a schema has no word for.
    """
    if "__init__" not in cls.__dict__:
        raise TypeError(f"{cls.__name__} needs an __init__ of its own to have a schema")
    if _is_public(cls.__init__):
        raise TypeError("__init__ cannot be public: take the decorator away")
    methods = {name: getattr(cls, name, None) for name in sorted(dir(cls))}
    return {
        "ctor": _parameters(cls, cls.__init__, _hints(cls, cls.__init__)),
        "methods": {
            name: _method(cls, name, method)
            for name, method in methods.items()
            if _is_public(method) and name not in _LEFT_OUT
        },
    }


def _is_public(method: Any) -> bool:
    return bool(getattr(method, "__gl_public__", False))


def _method(cls: type, name: str, method: Callable[..., Any]) -> dict[str, Any]:
    if name.startswith("__"):
        raise TypeError(f"{name} cannot be public: its name begins with __")
    hints = _hints(cls, method)
    described = _parameters(cls, method, hints)
    for least in ("min_gas_leader", "min_gas_validator"):
        gas = getattr(method, f"__gl_{least}__", 0)
        if gas:
            described[least] = gas
    described["readonly"] = method.__gl_readonly__
    described["ret"] = _hinted(method, "return", hints)
    if not method.__gl_readonly__:
        described["payable"] = method.__gl_payable__
    return described


def _parameters(cls: type, method: Callable[..., Any], hints: dict[str, Any]) -> dict[str, Any]:
    """Return what a method takes beside `self`."""
    name = method.__name__
    taken = list(inspect.signature(method).parameters.values())
    if not taken or taken[0].name != "self":
        raise TypeError(f"{cls.__name__}.{name}: the first parameter is self")
    positional, by_keyword = [], {}
    for each in taken[1:]:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise TypeError(f"{name}: a method called from outside takes no *args and no **kwargs")
        described = _hinted(method, each.name, hints)
        if each.kind is each.KEYWORD_ONLY:
            by_keyword[each.name] = described
        else:
            positional.append([each.name, described])
    return {"params": positional, "kwparams": by_keyword}


def _hints(cls: type, method: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a method; those written as text are read.

    A name in a text means what it means in the method's module, else what it means in the class.
    """
    module = getattr(inspect.unwrap(method), "__globals__", {})
    names = {**vars(cls), **vars(builtins), **module}
    try:
        return typing.get_type_hints(method, names, include_extras=True)
    except NameError as error:
        raise TypeError(f"{method.__name__}: {error}") from None


def _hinted(method: Callable[..., Any], parameter: str, hints: dict[str, Any]) -> Any:
    try:
        return type_schema(hints.get(parameter, typing.Any))
    except TypeError as error:
        raise TypeError(f"{method.__name__}, {parameter}: {error}") from None


def type_schema(annotation: Any) -> Any:
    """Return the schema of one type. Raises `TypeError` where it has none."""
    try:
        named = _NAMES.get(annotation)
    except TypeError:  # not hashable
        raise TypeError(f"{annotation!r} is no type") from None
    if named is not None:
        return named
    if hasattr(annotation, "__supertype__"):
        return type_schema(annotation.__supertype__)
    origin, args = getattr(annotation, "__origin__", None), getattr(annotation, "__args__", None)
    if isinstance(annotation, types.UnionType) or origin is typing.Union:
        return {"$or": [type_schema(arg) for arg in args]}
    if origin is typing.Literal:
        return "any"
    found = _class(annotation) if origin is None else _generic(origin, args)
    if found is None:
        raise TypeError(_refusal(annotation))
    return found


def _class(annotation: Any) -> Any:
    """Return the schema of a class without parameters, or None."""
    if not isinstance(annotation, type):
        return None
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        fields = dataclasses.fields(annotation)
        return {field.name: type_schema(hints[field.name]) for field in fields}
    if issubclass(annotation, Mapping):
        return "dict"
    return "array" if issubclass(annotation, Sequence) else None


def _generic(origin: Any, args: Any) -> Any:
    """Return the schema of a type with its parameters, or None.

    `args` is None for one of `typing` without parameters, such as `typing.Sequence`.
    """
    if args is None or not isinstance(origin, type):
        return None
    if origin is tuple:
        if args[1:] == (...,):
            return [{"$rep": type_schema(args[0])}]
        return [type_schema(arg) for arg in args]
    if issubclass(origin, Mapping) and len(args) == 2:
        if args[0] is not str:
            raise TypeError("the keys of a map are str")
        return {"$dict": type_schema(args[1])}
    if issubclass(origin, Sequence) and len(args) == 1:
        return [{"$rep": type_schema(args[0])}]
    return None


def _refusal(annotation: Any) -> str:
    name = annotation.__name__ if isinstance(annotation, type) else repr(annotation)
    hint = "; use an int in the smallest unit" if annotation is float else ""
    return f"{name} cannot be passed to or from a contract{hint}"

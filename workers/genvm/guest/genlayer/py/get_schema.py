"""The schema of a contract: what `#get-schema` answers (docs/spec/06-contracts.md#schema)."""

from __future__ import annotations

import sys

from .._machine.contract import Contract
from ..gl.annotations import access_of
from .calldata import Address
from .storage.arrays import Array, DynArray
from .storage.layout import evaluate
from .storage.tree_map import TreeMap
from .types import IntType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ANY = "any"
_NAMES = {
    None: "null",
    type(None): "null",
    bool: "bool",
    int: "int",
    str: "string",
    bytes: "bytes",
    Address: "address",
    list: "array",
    tuple: "array",
    DynArray: "array",
    dict: "dict",
    TreeMap: "dict",
    object: _ANY,
}
_VARIADIC = 0x04 | 0x08  # CO_VARARGS, CO_VARKEYWORDS


def schema_json(cls: type[Contract]) -> str:
    """Return the schema as JSON."""
    import json

    return json.dumps(contract_schema(cls), separators=(",", ":"))


def contract_schema(cls: type[Contract]) -> dict[str, Any]:
    """Return the constructor and the public methods, by name.

    Raises `TypeError`, with the name of the method, for a type that calldata has no word for.
    """
    has_constructor = cls.__init__ is not object.__init__
    constructor = _parameters(cls.__init__, "__init__") if has_constructor else _NO_PARAMETERS
    names = sorted(name for name in dir(cls) if not name.startswith("__"))
    public = {name: access_of(getattr(cls, name, None)) for name in names}
    return {
        "ctor": constructor,
        "methods": {
            name: _method(getattr(cls, name), name, access)
            for name, access in public.items()
            if access is not None
        },
    }


_NO_PARAMETERS: dict[str, Any] = {"params": [], "kwparams": {}}


def _method(method: Callable[..., Any], name: str, access: Any) -> dict[str, Any]:
    described = _parameters(method, name)
    described["readonly"] = access.read_only
    described["ret"] = _annotated(method, "return", name)
    if not access.read_only:
        described["payable"] = access.payable
    return described


def _parameters(method: Callable[..., Any], name: str) -> dict[str, Any]:
    """Return what a method takes beside `self`."""
    code = method.__code__
    if code.co_flags & _VARIADIC:
        raise TypeError(f"{name}: a method called from outside takes no *args and no **kwargs")
    count = code.co_argcount
    positional = code.co_varnames[1:count]
    keyword_only = code.co_varnames[count : count + code.co_kwonlyargcount]
    return {
        "params": [[each, _annotated(method, each, name)] for each in positional],
        "kwparams": {each: _annotated(method, each, name) for each in keyword_only},
    }


def _annotated(method: Callable[..., Any], parameter: str, name: str) -> Any:
    annotation = method.__annotations__.get(parameter, object)
    try:
        return type_schema(annotation, method)
    except TypeError as error:
        raise TypeError(f"{name}, {parameter}: {error}") from None


def type_schema(annotation: Any, owner: Any) -> Any:
    """Return the schema of one type.

    An annotation that is a string is read in the module of `owner`, a class or a function.
    """
    if isinstance(annotation, str):
        annotation = evaluate(annotation, owner)
    try:
        if annotation in _NAMES:
            return _NAMES[annotation]
    except TypeError:  # not hashable
        raise TypeError(f"{annotation!r} is no type") from None
    if isinstance(annotation, IntType):
        return "int"
    if _is_any(annotation):
        return _ANY
    fields = getattr(annotation, "__dataclass_fields__", None)
    if fields is None:
        fields = getattr(annotation, "__storage_fields__", None)
    if fields is not None and isinstance(annotation, type):
        return {name: type_schema(_field_type(field), annotation) for name, field in fields.items()}
    return _generic(annotation, owner)


def _generic(annotation: Any, owner: Any) -> Any:
    origin = getattr(annotation, "__origin__", None)
    args = getattr(annotation, "__args__", ())
    if _is_union(annotation, origin):
        return {"$or": [type_schema(arg, owner) for arg in args]}
    if origin in (list, DynArray, Array) or (origin is tuple and args[1:] == (...,)):
        return [{"$rep": type_schema(args[0], owner)}]
    if origin is tuple:
        return [type_schema(arg, owner) for arg in args]
    if origin in (dict, TreeMap):
        if args[0] is not str:
            raise TypeError(f"calldata has maps with str keys only, not {annotation!r}")
        return {"$dict": type_schema(args[1], owner)}
    name = annotation.__name__ if isinstance(annotation, type) else repr(annotation)
    hint = "; use an int in the smallest unit" if annotation is float else ""
    raise TypeError(f"{name} cannot be passed to or from a contract{hint}")


def _is_any(annotation: Any) -> bool:
    typing = sys.modules.get("typing")
    return typing is not None and annotation is typing.Any


def _is_union(annotation: Any, origin: Any) -> bool:
    if isinstance(annotation, type(int | str)):
        return True
    typing = sys.modules.get("typing")
    return typing is not None and origin is typing.Union


def _field_type(field: Any) -> Any:
    """Return the annotation of a dataclass field, or the annotation itself."""
    return field.type if hasattr(field, "default_factory") else field

"""From annotations to stored types (docs/spec/08-storage-layout.md#types)."""

from __future__ import annotations

import sys

from .. import types
from .hints import type_name
from .scalars import ADDRESS, BIGINT, BOOL, BYTES, FLOAT, NOTHING, STR, Address, integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .stored_type import StoredType

MARK = "__gl_allow_storage__"
"""The attribute by which `allow_storage` says how instances of a class lie in storage."""

_INSTEAD = {
    int: "a sized integer such as u256 or i64, or bigint",
    list: "DynArray[T]",
    tuple: "a dataclass with @allow_storage, or Array[T, Literal[n]]",
    set: "TreeMap[T, bool]",
    dict: "TreeMap[K, V]",
    bytearray: "bytes",
}
_KNOWN: dict[Any, StoredType] = {
    bool: BOOL,
    float: FLOAT,
    str: STR,
    bytes: BYTES,
    Address: ADDRESS,
    None: NOTHING,
    type(None): NOTHING,
    types.bigint: BIGINT,
}


def stored_type(annotation: Any) -> StoredType:
    """Return how values with this annotation are stored, the same object for the same one.

    Raises `TypeError` that says why it cannot be. No part of `annotation` is a string or a type
    variable: see `hints.resolved`.
    """
    found = _KNOWN.get(annotation)
    if found is None:
        found = _KNOWN[annotation] = _made(annotation)
    return found


def _made(annotation: Any) -> StoredType:
    name = getattr(annotation, "__name__", "")
    if vars(types).get(name) is annotation and name[1:].isdecimal():
        return integer(name)
    origin = getattr(annotation, "__origin__", annotation)
    args = getattr(annotation, "__args__", ())
    if isinstance(origin, type):
        if hasattr(origin, "stored_as"):
            return _collection(annotation, origin, args)
        if hasattr(origin, MARK):
            return getattr(origin, MARK)(origin, args)
    if getattr(annotation, "__module__", None) == "datetime" and name == "datetime":
        from .moments import MOMENT

        return MOMENT
    if "numpy" in sys.modules:
        from .numpy_types import numpy_type

        found = numpy_type(annotation)
        if found is not None:
            return found
    raise TypeError(_refusal(annotation, origin))


def _collection(annotation: Any, origin: Any, args: tuple[Any, ...]) -> StoredType:
    if len(args) != origin.stored_as.__code__.co_argcount:
        raise TypeError(f"{type_name(annotation)} needs its types, such as {origin.EXAMPLE}")
    return origin.stored_as(*args)


def _refusal(annotation: Any, origin: Any) -> str:
    name = type_name(annotation)
    if isinstance(origin, type) and origin in _INSTEAD:
        return f"{name} cannot be stored; use {_INSTEAD[origin]}"
    if type(annotation).__name__ == "TypeVar":
        return f"{name} stands for no type here; give the types, as in Pair[u8, str]"
    if isinstance(annotation, type):
        return f"{name} cannot be stored; is @allow_storage missing on the class?"
    return f"{name} cannot be stored"

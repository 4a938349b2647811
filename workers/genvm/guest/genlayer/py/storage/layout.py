"""From annotations to stored types: which types can be stored, and where fields lie.

Fields of a class lie one after another, in the order of its annotations, those of base classes
first, with no padding. `Array[T, n]` is `n` items in a row; `DynArray` and `TreeMap` have a header
in place and their items in the child slot (see `arrays`, `tree_map`).
"""

from __future__ import annotations

import sys

from .scalars import StoredType, scalar
from .slots import MemorySlot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INSTEAD = {
    int: "a sized integer such as u256 or i64, or bigint",
    list: "DynArray[T]",
    tuple: "a dataclass with @allow_storage, or Array[T, Literal[n]]",
    set: "TreeMap[T, bool]",
    dict: "TreeMap[K, V]",
    bytearray: "bytes",
    type(None): "nothing: a field always holds a value of its type",
}


class Alias:
    """`TreeMap[K, V]`, `DynArray[T]` or `Array[T, Literal[n]]`: an annotation, and a constructor
    of an empty collection in memory.
    """

    __slots__ = ("__args__", "__origin__", "_stored")

    def __init__(self, origin: type, args: tuple[Any, ...]) -> None:
        self.__origin__ = origin
        self.__args__ = args
        self._stored: StoredType | None = None

    def __call__(self, *values: Any) -> Any:
        """Return a new collection in memory, filled with `values` if there are any."""
        made = stored_type(self).read(MemorySlot(), 0)
        for value in values:
            made.assign(value)
        return made

    @property
    def __parameters__(self) -> tuple[Any, ...]:
        return tuple(arg for arg in self.__args__ if _is_type_variable(arg))

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Alias)
        return same and (self.__origin__, self.__args__) == (other.__origin__, other.__args__)

    def __hash__(self) -> int:
        return hash((self.__origin__, self.__args__))

    def __repr__(self) -> str:
        args = ", ".join(type_name(arg) for arg in self.__args__)
        return f"{self.__origin__.__name__}[{args}]"

    def __or__(self, other: object) -> object:
        from typing import Union

        return Union[self, other]  # noqa: UP007 - `|` is what asks


def stored_type(annotation: Any, bindings: dict[Any, Any] | None = None) -> StoredType:
    """Return how a value with this annotation is stored; `TypeError` says why it cannot be."""
    found = scalar(annotation)
    if found is not None:
        return found
    if bindings and annotation in bindings:
        return stored_type(bindings[annotation])
    if isinstance(annotation, Alias):
        return _collection(annotation, bindings)
    origin = getattr(annotation, "__origin__", annotation)
    if isinstance(origin, type) and "__storage_fields__" in origin.__dict__:
        args = getattr(annotation, "__args__", ())
        layouts = origin.__dict__["__storage_layouts__"]
        return layouts[tuple(_bound(arg, bindings) for arg in args)]
    raise TypeError(_refusal(annotation, origin))


def _collection(alias: Alias, bindings: dict[Any, Any] | None) -> StoredType:
    if bindings:
        alias = _bound(alias, bindings)
    if alias._stored is None:
        alias._stored = alias.__origin__.stored_as(*alias.__args__)
    return alias._stored


def _bound(annotation: Any, bindings: dict[Any, Any] | None) -> Any:
    """Return the annotation with its type variables filled in."""
    if not bindings:
        return annotation
    if isinstance(annotation, Alias):
        args = tuple(_bound(arg, bindings) for arg in annotation.__args__)
        return Alias(annotation.__origin__, args)
    if getattr(annotation, "__parameters__", ()) and hasattr(annotation, "__origin__"):
        args = tuple(_bound(arg, bindings) for arg in annotation.__args__)
        return annotation.__origin__[args]
    return bindings.get(annotation, annotation) if _is_type_variable(annotation) else annotation


def type_variables(cls: type) -> tuple[Any, ...]:
    """Return the type variables of a generic class, in order."""
    return getattr(cls, "__parameters__", ()) or getattr(cls, "__type_params__", ())


def _is_type_variable(annotation: Any) -> bool:
    return type(annotation).__name__ == "TypeVar"


def field_annotations(cls: type) -> dict[str, Any]:
    """Return the storage fields that a class declares, its bases' first: name -> annotation."""
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, annotation in vars(base).get("__annotations__", {}).items():
            if isinstance(annotation, str):
                annotation = evaluate(annotation, base)  # noqa: PLW2901
            if not _is_class_variable(annotation):
                fields[name] = annotation
    return fields


def evaluate(annotation: str, cls: Any) -> Any:
    """Return what an annotation means that is written as a string.

    Its names are those of the module of `cls`, a class or a function.
    """
    names = dict(vars(sys.modules[cls.__module__]))
    for variable in getattr(cls, "__type_params__", ()):
        names[variable.__name__] = variable
    while isinstance(annotation, str):
        annotation = eval(annotation, names)  # noqa: S307 - the contract's own text, in its sandbox
    return annotation


def _is_class_variable(annotation: Any) -> bool:
    typing = sys.modules.get("typing")
    if typing is None:
        return False
    return typing.ClassVar in (annotation, getattr(annotation, "__origin__", None))


def _refusal(annotation: Any, origin: Any) -> str:
    name = type_name(annotation)
    if origin in _INSTEAD:
        return f"{name} cannot be stored; use {_INSTEAD[origin]}"
    if isinstance(origin, type) and hasattr(origin, "stored_as"):
        return f"{name} needs its types, such as {origin.EXAMPLE}"
    if isinstance(annotation, type):
        return f"{name} cannot be stored; is @allow_storage missing on the class?"
    return f"{name} cannot be stored"


def type_name(annotation: Any) -> str:
    """Return an annotation as messages name it."""
    return annotation.__name__ if isinstance(annotation, type) else repr(annotation)

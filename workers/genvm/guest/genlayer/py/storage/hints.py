"""What the annotations of a class say (docs/spec/08-storage-layout.md#records)."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def field_annotations(cls: type, bindings: dict[Any, Any]) -> dict[str, Any]:
    """Return the fields of a class, those of its bases first: name -> annotation.

    `bindings` say what stands for its type variables.
    """
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, annotation in vars(base).get("__annotations__", {}).items():
            fields[name] = resolved(annotation, base, bindings)
    return {name: found for name, found in fields.items() if not _is_class_variable(found)}


def resolved(annotation: Any, cls: type, bindings: dict[Any, Any]) -> Any:
    """Return an annotation of `cls` with all strings in it evaluated and all variables replaced."""
    if isinstance(annotation, str):
        return resolved(evaluate(annotation, cls), cls, bindings)
    if hasattr(annotation, "__forward_arg__"):
        return resolved(annotation.__forward_arg__, cls, bindings)
    if bindings and annotation in bindings:
        return bindings[annotation]
    if hasattr(annotation, "__metadata__"):  # Annotated[T, …] is stored as T
        return resolved(annotation.__origin__, cls, bindings)
    origin = getattr(annotation, "__origin__", None)
    if origin is None or isinstance(annotation, type) or _is_literal(origin):
        return annotation
    args = annotation.__args__
    new_args = tuple(resolved(arg, cls, bindings) for arg in args)
    return annotation if new_args == args else origin[new_args]


def evaluate(annotation: str, cls: Any) -> Any:
    """Return what an annotation means that is written as a string.

    Its names are those of the module of `cls`, a class or a function.
    """
    names = dict(vars(sys.modules[cls.__module__]))
    for variable in getattr(cls, "__type_params__", ()):
        names[variable.__name__] = variable
    own = vars(cls) if isinstance(cls, type) else {}
    while isinstance(annotation, str):
        # As `typing.get_type_hints` does: what the class itself defines is looked up last.
        annotation = eval(annotation, {**own, **names})  # noqa: S307 - the contract's own text
    return annotation


def type_variables(cls: type) -> tuple[Any, ...]:
    """Return the type variables of a generic class, in order."""
    return getattr(cls, "__parameters__", ()) or getattr(cls, "__type_params__", ())


def _is_class_variable(annotation: Any) -> bool:
    typing = sys.modules.get("typing")
    if typing is None:
        return False
    return typing.ClassVar in (annotation, getattr(annotation, "__origin__", None))


def _is_literal(origin: Any) -> bool:
    typing = sys.modules.get("typing")
    return typing is not None and origin is typing.Literal


def literal_length(annotation: Any, example: str) -> int:
    """Return n of `Literal[n]`, the length of an array. Raises `TypeError`."""
    values = getattr(annotation, "__args__", ())
    is_literal = _is_literal(getattr(annotation, "__origin__", None))
    if not is_literal or len(values) != 1 or type(values[0]) is not int or values[0] < 0:
        raise TypeError(f"a length is written as in {example}, got {type_name(annotation)}")
    return values[0]


def type_name(annotation: Any) -> str:
    """Return an annotation as messages name it."""
    args = getattr(annotation, "__args__", ())
    if args and hasattr(annotation, "__origin__"):
        return f"{type_name(annotation.__origin__)}[{', '.join(map(type_name, args))}]"
    return getattr(annotation, "__name__", None) or repr(annotation)

"""Functions as bytes, for other machines of the same run.

What has a name in a module goes by that name, as with `pickle`, so that the other machine loads the
contract only for what is defined at its top level. A function without such a name (a lambda, a
function in a function) goes as its code, what it captured, and the globals that it uses as they are
now. What is rarer, such as a class in a function, is left to `cloudpickle`, whose rules these are:
to load it costs a machine more than all that the SDK loads. Both machines run the same interpreter,
so `marshal` serves for code. The bytes never leave the run.

Source: docs/spec/07-python-sdk.md#11-glvm.
"""

from __future__ import annotations

import builtins
import marshal
import sys
from _pickle import Pickler, PicklingError, loads
from io import BytesIO
from types import (
    CellType,
    CodeType,
    EllipsisType,
    FunctionType,
    MethodType,
    ModuleType,
    NoneType,
    NotImplementedType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PROTOCOL = 5

_LEFT_TO_CLOUDPICKLE = {
    "Logger",
    "RootLogger",
    "TextIOWrapper",
    "TypeVar",
    "WeakSet",
    "_FIELD_BASE",
    "abstractclassmethod",
    "abstractproperty",
    "abstractstaticmethod",
    "cell",
    "classmethod",
    "dict_items",
    "dict_keys",
    "dict_values",
    "getset_descriptor",
    "mappingproxy",
    "memoryview",
    "module",
    "odict_items",
    "odict_keys",
    "odict_values",
    "property",
    "staticmethod",
}
"""The names of the types, other than those below, that it takes along and `pickle` does not."""

_EXTENDED_ARG = 144
_LOAD_GLOBAL = 116
_GLOBAL_OPERATIONS = (_LOAD_GLOBAL, 97, 98)
"""Of CPython 3.12: reads, writes and deletes of globals. The module `opcode` is slow to load."""

_SINGLETONS = (NoneType, EllipsisType, NotImplementedType)
_OF_MODULE = ("__package__", "__name__", "__path__", "__file__")
_OF_FUNCTION = (
    "__name__",
    "__qualname__",
    "__annotations__",
    "__kwdefaults__",
    "__defaults__",
    "__module__",
    "__doc__",
)


def ship(function: Callable[..., Any]) -> bytes:
    """Return `function` as bytes for `load_shipped`.

    Raises what pickle raises for what cannot be taken along.
    """
    out = BytesIO()
    try:
        _FunctionPickler(out, _PROTOCOL).dump(function)
    except RecursionError:
        raise PicklingError("what a function captured is nested too deeply to be shipped") from None
    except Exception as error:
        error.add_note("while a function was made ready for another machine")
        raise
    return out.getvalue()


load_shipped = loads
"""Returns the function in bytes that `ship` wrote."""


class _FunctionPickler(Pickler):
    def __init__(self, out: BytesIO, protocol: int) -> None:
        super().__init__(out, protocol)
        self._namespaces: dict[int, dict[str, Any]] = {}

    def reducer_override(self, value: Any) -> Any:
        """Return how to make `value` again, or that pickle knows."""
        kind = type(value)
        if kind is FunctionType:
            return NotImplemented if _has_name(value) else self._reduce_function(value)
        if issubclass(kind, type):
            if value in _SINGLETONS or _has_name(value):
                return NotImplemented
            return _cloudpickle()._class_reduce(value)
        if kind is CodeType:
            return marshal.loads, (marshal.dumps(value),)
        if kind is MethodType:
            return _make_method, (value.__func__, value.__self__)
        if kind is ModuleType and value.__name__ in sys.modules:
            return _module, (value.__name__,)
        if kind.__name__ in _LEFT_TO_CLOUDPICKLE:
            reduce = _cloudpickle().Pickler.dispatch_table.get(kind)
            return reduce(value) if reduce else NotImplemented
        return NotImplemented

    def _reduce_function(self, function: FunctionType) -> Any:
        """Return how to make the function again: first an empty one, as it may refer to itself.

        Functions of one module, shipped together, share their globals on the other side too.
        """
        code, namespace = function.__code__, function.__globals__
        shared = self._namespaces.setdefault(id(namespace), {})
        if not shared:
            shared.update((name, namespace[name]) for name in _OF_MODULE if name in namespace)
        used = {name: namespace[name] for name in _global_names(code) if name in namespace}
        captured = [_content(cell) for cell in function.__closure__ or ()]
        attributes = {name: getattr(function, name) for name in _OF_FUNCTION}
        contents = (value for content in captured for value in content)
        submodules = _submodules(code, [*used.values(), *contents])
        state = used, captured, attributes, vars(function), submodules
        return _make_function, (code, shared, len(captured)), state, None, None, _complete_function


def _cloudpickle() -> Any:
    from cloudpickle import cloudpickle

    return cloudpickle


def _has_name(value: Any) -> bool:
    """Return whether a function or class can be found in its module by its name."""
    if loaded := sys.modules.get("cloudpickle.cloudpickle"):
        return loaded._should_pickle_by_reference(value)  # The contract can tell it otherwise.
    name = value.__qualname__
    if value.__module__ == "__main__" or "<locals>" in name:
        return False
    found: Any = sys.modules.get(value.__module__)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _global_names(code: CodeType) -> dict[str, None]:
    """Return the globals that `code`, or code in it, reads or writes; in order."""
    names: dict[str, None] = {}
    extended = 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        index = argument | extended
        extended = index << 8 if operation == _EXTENDED_ARG else 0
        if operation in _GLOBAL_OPERATIONS:
            names[code.co_names[index >> (operation == _LOAD_GLOBAL)]] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


def _submodules(code: CodeType, values: list[Any]) -> list[ModuleType]:
    """Return the loaded submodules of packages among `values` that `code` names."""
    return [
        sys.modules[name]
        for value in values
        if isinstance(value, ModuleType) and value.__package__
        for name in list(sys.modules)
        if name.startswith(prefix := value.__name__ + ".")
        and set(name[len(prefix) :].split(".")) <= set(code.co_names)
    ]


def _content(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # a variable that is not set yet
        return ()


# ------------------------------------------------------------------------ on the other machine


def _make_function(code: CodeType, namespace: dict[str, Any], captured: int) -> FunctionType:
    namespace["__builtins__"] = vars(builtins)
    return FunctionType(code, namespace, None, None, tuple(CellType() for _ in range(captured)))


def _complete_function(function: FunctionType, state: tuple[Any, ...]) -> None:
    used, captured, attributes, others, _ = state
    function.__globals__.update(used)
    for cell, content in zip(function.__closure__ or (), captured, strict=True):
        if content:
            cell.cell_contents = content[0]
    for name, value in attributes.items():
        setattr(function, name, value)
    vars(function).update(others)


def _make_method(function: Any, instance: Any) -> MethodType:
    return MethodType(function, instance)


def _module(name: str) -> ModuleType:
    return sys.modules.get(name) or __import__(name, None, None, ("",))

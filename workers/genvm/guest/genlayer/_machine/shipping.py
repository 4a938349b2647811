"""Functions as bytes, for machines of the same run.

The other machine loads the same contract first. So what has a name in a module goes by that name,
as with `pickle`; the contract itself goes as "the contract"; a view of storage goes as what it
shows, a `dict`, a `list` or a free instance; and a function without a name of its own (a lambda, a
function in a function) goes as its code, its defaults and the variables it captured. Both machines
run the same interpreter, so `marshal` serves for code. The bytes never leave the run, and are read
in the sandbox that wrote them.
"""

from __future__ import annotations

import marshal
import sys
from _pickle import Pickler, Unpickler
from io import BytesIO
from types import CellType, CodeType, FunctionType, ModuleType

from ..py.storage.arrays import Items
from ..py.storage.avl import AvlTree
from ..py.storage.records import bind
from ..py.storage.root import CONTRACT_SLOT
from .contract import Contract

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PROTOCOL = 5


def ship(function: Callable[..., Any]) -> bytes:
    """Return `function` as bytes for `run_shipped`.

    Raises `TypeError`, which names what the function captured and cannot be taken along.
    """
    out = BytesIO()
    try:
        _FunctionPickler(out, _PROTOCOL).dump(function)
    except Exception as error:
        error.add_note(f"while {function.__qualname__} was made ready for another machine")
        raise
    return out.getvalue()


def run_shipped(data: bytes, stage: Any) -> Any:
    """Call the function in `data`, which `ship` wrote, with `stage`, and return its result."""
    return Unpickler(BytesIO(data)).load()(stage)


class _FunctionPickler(Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, FunctionType):
            return NotImplemented if _has_name(value) else _reduce_function(value)
        if isinstance(value, CodeType):
            return marshal.loads, (marshal.dumps(value),)
        if isinstance(value, ModuleType):
            return _module, (value.__name__,)
        if isinstance(value, Contract):
            return _contract, (type(value),)
        if isinstance(value, AvlTree):
            return dict, (list(value.items()),)
        if isinstance(value, Items):
            return list, (list(value),)
        if hasattr(type(value), "__storage_fields__"):
            fields = {name: getattr(value, name) for name in type(value).__storage_fields__}
            return _free_instance, (type(value), fields)
        return NotImplemented


def _has_name(function: FunctionType) -> bool:
    """Return whether the function can be found in its module by its name."""
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def _reduce_function(function: FunctionType) -> Any:
    """Return how to make the function again: first an empty one, as it may have captured itself."""
    made = (function.__code__, function.__module__, len(function.__closure__ or ()))
    state = (
        [_cell_content(cell) for cell in function.__closure__ or ()],
        function.__defaults__,
        function.__kwdefaults__,
        function.__qualname__,
    )
    return _make_function, made, state, None, None, _complete_function


def _cell_content(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # a variable that is not set yet
        return ()


def _make_function(code: CodeType, module: str, captured: int) -> FunctionType:
    cells = tuple(CellType() for _ in range(captured))
    made = FunctionType(code, vars(_module(module)), code.co_name, None, cells)
    made.__module__ = module
    return made


def _complete_function(function: FunctionType, state: tuple[Any, ...]) -> None:
    contents, function.__defaults__, function.__kwdefaults__, function.__qualname__ = state
    for cell, content in zip(function.__closure__ or (), contents, strict=True):
        if content:
            cell.cell_contents = content[0]


def _module(name: str) -> ModuleType:
    return sys.modules.get(name) or __import__(name, None, None, ("",))


def _free_instance(cls: type, fields: dict[str, Any]) -> Any:
    instance = cls.__new__(cls)
    vars(instance).update(fields)
    return instance


def _contract(cls: type[Contract]) -> Contract:
    return bind(cls, CONTRACT_SLOT)

"""Values of storage types that lie in memory, apart from the contract's storage."""

from __future__ import annotations

from .arrays import Items
from .avl import AvlTree
from .layout import stored_type
from .records import kind_of
from .slots import MemorySlot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def inmem_allocate(annotation: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a new value of a storage type, such as `TreeMap[str, u256]` or a generic `Item[str]`.

    For a class, `args` and `kwargs` go to its `__init__`.
    """
    value = stored_type(annotation).read(MemorySlot(), 0)
    if hasattr(type(value), "__storage_fields__"):
        value.__init__(*args, **kwargs)
    return value


def copy_to_memory(value: Any) -> Any:
    """Return a copy of a value that was read from storage.

    The copy stays as it is, and may be used in a nondet block.
    """
    if isinstance(value, AvlTree | Items):
        return value.detached()
    if hasattr(type(value), "__storage_fields__"):
        return kind_of(value).detached(value)
    return value

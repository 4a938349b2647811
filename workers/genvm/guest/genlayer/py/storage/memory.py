"""Values of storage types that lie in memory, apart from the contract's storage."""

from __future__ import annotations

from .indirection import VLA, Indirection
from .layout import stored_type
from .records import RecordType, place_of
from .slots import memory_slot
from .tree_map import MapType, TreeMap
from .vec import Array, DynArray

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def inmem_allocate(annotation: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a new value of a storage type, such as `TreeMap[str, u256]` or a generic `Item[str]`.

    For a class, `args` and `kwargs` go to its `__init__`; any other type but a map takes one value.
    """
    kind, slot = stored_type(annotation), memory_slot()
    if isinstance(kind, RecordType):
        value = kind.read(slot, 0)
        value.__init__(*args, **kwargs)
        return value
    if kwargs or len(args) > 1 or (args and isinstance(kind, MapType)):
        raise TypeError(f"{kind.name} takes no such arguments")
    if args:
        kind.write(slot, 0, args[0])
    return kind.read(slot, 0)


def copy_to_memory(value: Any) -> Any:
    """Return a copy of a value that was read from storage, which stays as it is."""
    if isinstance(value, Array | DynArray | Indirection | TreeMap | VLA):
        kind, source, start = value.__reduce__()[1]
    elif (place := place_of(value)) is not None:
        source, start, kind = place
    else:
        return value
    slot = memory_slot()
    kind.copy(source, start, slot, 0)
    return kind.read(slot, 0)

"""`gl.storage`: how a contract's fields are kept (docs/spec/08-storage-layout.md)."""

from __future__ import annotations

from .records import allow_storage
from .slots import ROOT_SLOT_ID, Manager, Slot
from .tree_map import TreeMap
from .vec import Array, DynArray

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ELSEWHERE = {
    "Indirection": "indirection",
    "VLA": "indirection",
    "Root": "root",
    "copy_to_memory": "memory",
    "inmem_allocate": "memory",
}
"""What few contracts use, and where it is."""

__all__ = (
    "ROOT_SLOT_ID",
    "VLA",
    "Array",
    "DynArray",
    "Indirection",
    "Manager",
    "Root",
    "Slot",
    "TreeMap",
    "allow_storage",
    "inmem_allocate",
)


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = __import__(f"{__name__}.{_ELSEWHERE[name]}", None, None, (name,))
    value = globals()[name] = getattr(module, name)
    return value

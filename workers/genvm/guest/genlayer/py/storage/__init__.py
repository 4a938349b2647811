"""`gl.storage`: how a contract's fields are kept.

The layout is told in `slots`, `scalars`, `layout`, `records`, `avl` and `arrays`.
"""

from __future__ import annotations

from .arrays import Array, DynArray
from .memory import copy_to_memory, inmem_allocate
from .records import allow_storage
from .root import Root
from .slots import StorageError
from .tree_map import TreeMap

__all__ = (
    "Array",
    "DynArray",
    "Root",
    "StorageError",
    "TreeMap",
    "allow_storage",
    "copy_to_memory",
    "inmem_allocate",
)

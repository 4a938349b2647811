"""The GenLayer SDK of contracts written in Python: `from genlayer import *`.

Source: docs/spec/06-contracts.md.

`gl` holds the contract base class and everything that talks to the machine; beside it stand the
types of storage fields: the sized integers, `Address`, `TreeMap`, `DynArray`, `Array` and
`allow_storage`.
"""
# ruff: noqa: PLE0604 - the integers' names are made, not written

from __future__ import annotations

import sys

from . import gl
from .gl import Lazy, Rollback  # noqa: F401 - older contracts import them by name
from .py.storage import Array, DynArray, TreeMap, allow_storage
from .py.types import BY_NAME, Address, Keccak256

globals().update(BY_NAME)

__all__ = (
    "Address",
    "Array",
    "DynArray",
    "Keccak256",
    "TreeMap",
    "allow_storage",
    "gl",
    *BY_NAME,
)

if "/genvm/libraries/model_wrappers" in sys.path:
    # Contracts that depend on genlayermodelwrappers are older, and expect this name as well.
    from genlayer_embeddings import VecDB

    __all__ += ("VecDB",)

"""The GenLayer SDK of contracts written in Python: `from genlayer import *`.

Source: docs/spec/06-contracts.md.

`gl` holds the contract base class and everything that talks to the machine; beside it stand the
types of storage fields: the sized integers, `Address`, `TreeMap`, `DynArray`, `Array` and
`allow_storage`.
"""
# ruff: noqa: PLE0604 - the integers' names are made, not written

from __future__ import annotations

from . import gl, ints
from .calldata import Address
from .keccak import Keccak256
from .storage import Array, DynArray, TreeMap, allow_storage
from .wire import Lazy
from .wire import UserError as Rollback

globals().update(ints.BY_NAME)

__all__ = (
    "Address",
    "Array",
    "DynArray",
    "Keccak256",
    "Lazy",
    "Rollback",
    "TreeMap",
    "allow_storage",
    "gl",
    *ints.BY_NAME,
)

"""The C API of wasmtime, and what leads there from its Python package: private names, here alone.

`tests/contract/test_private_members.py` fails when a version of the package changes one of them, or
a function of the C API that is used here.
"""

from __future__ import annotations

import ctypes
from typing import Any

from wasmtime import Instance, Store, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime._extern import wrap_extern

__all__ = ["context_of", "error_of", "ffi", "pointer_to", "wrap_extern"]


def context_of(store: Store) -> Any:
    """Return the context of a store, as functions of the C API take it."""
    return store._context()


def pointer_to(instance: Instance) -> Any:
    """Return a pointer to an instance, as functions of the C API take it."""
    return ctypes.byref(instance._instance)


def error_of(pointer: Any) -> WasmtimeError:
    """Return the exception for an error that a function of the C API has returned."""
    return WasmtimeError._from_ptr(pointer)

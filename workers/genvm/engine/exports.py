"""What an instance exports, by name.

wasmtime's `Instance.exports` builds all of them, each by its number, which takes quadratic time:
32 s for 40,000. The C API finds one by its name.
"""

from __future__ import annotations

import ctypes

from wasmtime import Func, Global, Instance, Memory, Store

from .c_api import context_of, ffi, pointer_to, wrap_extern

START = b"_start"
INITIALIZE = b"_initialize"
"""What a library exports that wants to be started before it is used (a reactor of WASI)."""


START_FUNCTION = b"genvm.start"
"""What a module wants called before all others. It is exported (`instrumentation.py`) and not
started by the engine, which would show nothing of an instance that fails so."""

WHY = b"genvm.why"
"""The global that says why a module stopped itself: a key of `REASONS`."""

STACK_OVERFLOW, FLOATING_POINT = 1, 2
REASONS = {STACK_OVERFLOW: "stack_overflow", FLOATING_POINT: "floating_point"}
"""Kinds of traps that a module makes by itself."""


def exported_function(store: Store, instance: Instance, name: bytes) -> Func | None:
    """Return the function `name`, if it takes and gives nothing."""
    found = _exported(store, instance, name)
    if isinstance(found, Func) and not (found.type(store).params or found.type(store).results):
        return found
    return None


def exported_memory_size(store: Store, instance: Instance) -> int:
    """Return the bytes of the memory `memory`; 0 where there is none."""
    found = _exported(store, instance, _MEMORY)
    return found.data_len(store) if isinstance(found, Memory) else 0


def exported_number(store: Store, instance: Instance, name: bytes) -> int:
    """Return the value of the global `name`, an i32; 0 where there is none."""
    found = _exported(store, instance, name)
    return found.value(store) if isinstance(found, Global) else 0


_MEMORY = b"memory"


def _exported(store: Store, instance: Instance, name: bytes) -> object:
    export = ffi.wasmtime_extern_t()
    buffer = ctypes.create_string_buffer(name)
    found = ffi.wasmtime_instance_export_get(
        context_of(store),
        pointer_to(instance),
        buffer,
        len(name),
        ctypes.byref(export),
    )
    return wrap_extern(export) if found else None

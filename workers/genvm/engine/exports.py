"""What an instance exports, by name.

wasmtime's `Instance.exports` builds all of them, each by its number, which takes quadratic time:
32 s for 40,000. The C API finds one by its name.
"""

from __future__ import annotations

import ctypes

from wasmtime import Func, Instance, Memory, Store

from .c_api import context_of, ffi, pointer_to, wrap_extern

START = b"_start"
INITIALIZE = b"_initialize"
"""What a library exports that wants to be started before it is used (a reactor of WASI)."""


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

"""A guest's linear memory, seen from outside; every access is checked."""

from __future__ import annotations

import ctypes
from typing import Any

from .c_api import ffi
from .engine import ADDRESS_SPACE

_Everything = ctypes.c_ubyte * ADDRESS_SPACE


class Fault(Exception):
    """The guest gave a range that lies outside its memory."""


class Memory:
    """The memory that a module exports as `memory`, found at the first call it makes.

    The engine reserves the whole address space of a memory, so its base never moves and one view
    serves for the whole run; only its size has to be asked again, as it grows and never shrinks.
    Where modules are linked, each call is about the memory of the module that makes it: with
    `of_caller` it is found at each call.
    """

    __slots__ = ("_context", "_memory", "_of_caller", "_size", "_view")

    def __init__(self, *, of_caller: bool = False) -> None:
        self._of_caller = of_caller
        self._view: memoryview | None = None
        self._memory: Any = None
        self._context: Any = None
        self._size = 0

    @property
    def bound(self) -> bool:
        """Whether the memory was found, and is the one that the next call is about."""
        return self._view is not None and not self._of_caller

    def bind(self, caller: Any) -> None:
        """Find the memory of the calling instance; a module without one faults at each access."""
        self._memory, self._size = None, 0
        export = ffi.wasmtime_extern_t()
        found = ffi.wasmtime_caller_export_get(
            caller, _NAME, len(_NAME.value), ctypes.byref(export)
        )
        kind: Any = export.kind
        if not found or kind != ffi.WASMTIME_EXTERN_MEMORY.value:
            self._view = memoryview(b"")
            return
        self._memory = ctypes.pointer(export.of.memory)
        self._context = ffi.wasmtime_caller_context(caller)
        # The memory may not move (`memory_may_move` in `engine.py`), so that its address is asked
        # for once; what lies beyond its present size must not be touched.
        base = ffi.wasmtime_memory_data(self._context, self._memory)
        address = ctypes.cast(base, ctypes.c_void_p).value
        assert address is not None
        self._view = memoryview(_Everything.from_address(address)).cast("B")

    @property
    def size(self) -> int:
        """Bytes that the guest has now."""
        if self._memory is not None:
            self._size = ffi.wasmtime_memory_data_size(self._context, self._memory)
        return self._size

    def view(self, at: int, size: int) -> memoryview:
        """Return the range itself, writable, for use before the guest goes on. Raises `Fault`."""
        end = at + size
        if end > self._size and end > self.size:
            raise Fault
        assert self._view is not None
        return self._view[at:end]

    def read(self, at: int, size: int) -> bytes:
        """Return a copy of the range. Raises `Fault`."""
        return bytes(self.view(at, size))

    def write(self, at: int, content: bytes) -> None:
        """Put all of `content` at `at`. Raises `Fault` and writes nothing if it does not fit."""
        self.view(at, len(content))[:] = content

    def write_u32(self, at: int, number: int) -> None:
        """Put a little-endian number at `at`. Raises `Fault`."""
        self.view(at, 4)[:] = number.to_bytes(4, "little")

    def write_u64(self, at: int, number: int) -> None:
        """Put a little-endian number at `at`. Raises `Fault`."""
        self.view(at, 8)[:] = number.to_bytes(8, "little")


_NAME = ctypes.create_string_buffer(b"memory")

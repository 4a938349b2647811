"""Links Python functions into a WebAssembly instance.

wasmtime's own `Func` spends some 13 µs on a call, most of it on types that are known here. This
goes one layer down, to the raw values of the C API, for a tenth of that.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from wasmtime import FuncType, Instance, Linker, Module, Store, ValType

from genvm_manager.protocol.contract.errors import InvalidContract

from .c_api import error_of, ffi
from .deadline import Deadline
from .memory import Memory


class Import(NamedTuple):
    """What a guest may import: `function` takes unsigned numbers, as many as `params` has letters.

    `params`: `i` for each i32 and `I` for each i64. The function gives an i32, or None where
    `returns` is false.
    """

    function: Callable[..., int | None]
    params: str
    returns: bool = True


Catalogue = Mapping[str, Mapping[str, Import]]
"""Imports by module name, then by name."""

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
)
_NO_FINALIZER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)()
_CallerPointer = ctypes.POINTER(ffi.wasmtime_caller_t)
_RAW_VALUE = {"i": "I12x", "I": "Q8x"}


class Imports:
    """The functions that one instance imports from `catalogue`.

    No function is called any more once the contract's time is over: between two calls a guest need
    not come to a point where the engine stops it. An exception that leaves a function stops the
    guest at once, as a trap, and stays in `raised`, where the guest's starter finds it. `memory` is
    bound when the first function is called.
    """

    def __init__(self, memory: Memory, catalogue: Catalogue, deadline: Deadline) -> None:
        self.raised: BaseException | None = None
        self._memory = memory
        self._deadline = deadline
        self._catalogue = catalogue
        self._callbacks: list[Any] = []
        self._defined: set[tuple[str, str]] = set()
        self._linked: set[str] = set()

    def link(self, linker: Linker, module: Module) -> None:
        """Define all that `module` imports from the catalogue.

        Raises `InvalidContract` that names the first import which nobody offers.
        """
        for wanted in module.imports:
            key = wanted.module, wanted.name or ""
            if key in self._defined or key[0] in self._linked:
                continue
            self._defined.add(key)
            offered = self._catalogue.get(key[0], {}).get(key[1])
            if offered is None:
                reason = f"the import {'.'.join(key)} is unknown to this executor"
                raise InvalidContract(reason, "wasm linking")
            self._define(linker, key, offered)

    def offer(self, linker: Linker, store: Store, name: str, instance: Instance) -> None:
        """Let modules that are linked later import what `instance` exports, from module `name`.

        Raises `InvalidContract` for a name that is taken.
        """
        if name in self._catalogue or name in self._linked:
            raise InvalidContract(f"two modules are called {name!r}", "wasm linking")
        self._linked.add(name)
        linker.define_instance(store, name, instance)

    def _define(self, linker: Linker, key: tuple[str, str], offered: Import) -> None:
        # The engine keeps only the address of the callback: Python has to keep it alive, for as
        # long as the guest may call it.
        callback = _Callback(self._trampoline(offered))
        self._callbacks.append(callback)
        module, name = (part.encode() for part in key)
        error = ffi.wasmtime_linker_define_func_unchecked(
            linker.ptr(),
            module,
            len(module),
            name,
            len(name),
            _function_type(offered.params, offered.returns).ptr(),
            ctypes.cast(callback, ffi.wasmtime_func_unchecked_callback_t),
            None,
            _NO_FINALIZER,
        )
        if error:
            raise error_of(error)

    def _trampoline(self, offered: Import) -> Callable[[Any, int, int, int], int]:
        """Return the callback of one import: it reads raw values, and writes one in their place."""
        function, memory, check_time = offered.function, self._memory, self._deadline.check
        raw = struct.Struct("<" + "".join(_RAW_VALUE[letter] for letter in offered.params))
        unpack, size, bytes_at = raw.unpack, raw.size, ctypes.string_at
        # The engine gives one array for the arguments and the result, 16 bytes for each value,
        # and expects the result where the first argument was.
        result_at = ctypes.c_uint32.from_address

        def call(_environment: Any, caller: int, values: int, _count: int) -> int:
            try:
                check_time()
                if not memory.bound:
                    memory.bind(ctypes.cast(caller, _CallerPointer))
                result = function(*unpack(bytes_at(values, size)))
                if result is not None:
                    result_at(values).value = result
            except BaseException as stopped:  # It may not cross the guest's frames.
                self.raised = stopped
                return _new_trap()
            return 0

        return call


def _new_trap() -> int:
    """Return the address of a new trap, which the engine takes over and frees."""
    trap = ffi.wasmtime_trap_new(_TRAP_MESSAGE, len(_TRAP_MESSAGE))
    address = ctypes.cast(trap, ctypes.c_void_p).value
    assert address is not None
    return address


_TRAP_MESSAGE = b"stopped by the host"


@cache
def _function_type(params: str, returns: bool) -> FuncType:
    types = {"i": ValType.i32, "I": ValType.i64}
    return FuncType([types[letter]() for letter in params], [ValType.i32()] if returns else [])

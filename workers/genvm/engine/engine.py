"""How WebAssembly runs here: equal on every machine, and always stoppable.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

from wasmtime import Config, Engine

from .c_api import ffi

MAX_WASM_STACK = 64 << 20
"""Bytes of native stack that one guest may use: more than it needs on any processor. A module of a
contract counts its frames (`instrumentation.py`). CPython counts its own; the few C functions that
do not, such as those that hash tuples in tuples, leave its linear memory first."""

THREAD_STACK = MAX_WASM_STACK + (4 << 20)
"""The stack of the thread that a guest runs on: the guest's, and room for our own frames."""

ADDRESS_SPACE = 4 << 30
"""Bytes reserved for each linear memory, so that it never moves while it grows."""

CONFIG_ID = "3"
"""Part of the compile cache's key: raise it with any change to `new_engine`."""


def new_engine() -> Engine:
    """Return an engine whose results do not depend on the machine, with an epoch to stop it by."""
    config = Config()
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd_deterministic = True
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    config.wasm_gc = False
    config.wasm_function_references = False
    config.wasm_exceptions = False
    config.wasm_custom_page_sizes = False
    config.epoch_interruption = True
    config.memory_reservation = ADDRESS_SPACE
    config.memory_may_move = False
    # The C API refuses a wasm stack over that of async calls, which nothing here uses.
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), 2 * MAX_WASM_STACK)
    config.max_wasm_stack = MAX_WASM_STACK
    return Engine(config)

"""One guest: an instance of a module within bounds, started once, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from wasmtime import Engine, Instance, Linker, Module, Store, Trap, TrapCode, WasmtimeError

from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.protocol.run_result import ResultCode

from .endings import OUT_OF_MEMORY, TIMEOUT, CallEnded, Outcome, vm_error
from .exports import INITIALIZE, START, exported_function, exported_memory_size
from .imports import Imports

MAX_TABLE_ELEMENTS = 1 << 18
MAX_TABLES = 8
"""Tables of one guest. Their elements take at most 16 MiB of the executor's own memory for each
guest, and a guest may be inside another one."""

_LAST_GROWTH = 1 << 20
"""Bytes below its limit at which a memory counts as full."""


class Guest:
    """An instance that has at most `memory_limit` bytes and reaches nothing but `imports`."""

    def __init__(self, engine: Engine, imports: Imports, memory_limit: int) -> None:
        self._engine = engine
        self._imports = imports
        self._limit = memory_limit

    def run(self, module: Module, linked: Sequence[tuple[str, Module]] = ()) -> Outcome:
        """Call `_start` of a new instance of `module`, and return how it ended.

        `linked` are instantiated before it, in this order; each may import the exports of those
        before it by their names. An end without `Return` and with status 0 returns null. Raises
        `InvalidContract` for a module that cannot be started, and what an import raised that is no
        end of the guest.
        """
        store = self._new_store(1 + len(linked))
        linker = Linker(self._engine)
        instances: list[Instance] = []
        try:
            for name, library in linked:
                instances.append(self._instance(linker, store, library))
                if initialize := exported_function(store, instances[-1], INITIALIZE):
                    initialize(store)
                self._imports.offer(linker, store, name, instances[-1])
            instances.append(self._instance(linker, store, module))
            start = exported_function(store, instances[-1], START)
            if start is None:
                reason = "the module exports no function _start without parameters"
                raise InvalidContract(reason, "wasm entrypoint")
            start(store)
        except (Trap, WasmtimeError) as error:
            return self._ended(error, [exported_memory_size(store, each) for each in instances])
        return Outcome(ResultCode.RETURN, None)

    def _instance(self, linker: Linker, store: Store, module: Module) -> Instance:
        self._imports.link(linker, module)
        return linker.instantiate(store, module)

    def _new_store(self, count: int) -> Store:
        """Return a store for `count` modules, which have equal parts of the memory."""
        store = Store(self._engine)
        store.set_epoch_deadline(1)
        self._limit //= count
        store.set_limits(
            memory_size=max(self._limit, 0),
            table_elements=MAX_TABLE_ELEMENTS,
            tables=MAX_TABLES,
            instances=count,
            memories=count,
        )
        return store

    def _ended(self, error: Trap | WasmtimeError, memory_sizes: Sequence[int]) -> Outcome:
        """Return what the end means, by what an import raised, else by the trap."""
        raised = self._imports.raised
        if isinstance(raised, CallEnded):
            return raised.outcome
        if raised is not None:
            raise raised
        if isinstance(error, Trap):
            return self._trapped(error.trap_code, memory_sizes)
        if "exceeds memory limits" in str(error):
            return OUT_OF_MEMORY
        raise InvalidContract(f"the module cannot be started: {error}", "wasm linking")

    def _trapped(self, code: TrapCode | None, memory_sizes: Sequence[int]) -> Outcome:
        """Return the outcome of a trap.

        Allocators give up by `unreachable` when their memory may not grow. That is no trap of the
        contract's own making, and the engine shows no other sign of it.
        """
        if code is TrapCode.INTERRUPT:
            return TIMEOUT
        is_full = any(size + _LAST_GROWTH > self._limit for size in memory_sizes)
        if code is TrapCode.UNREACHABLE and is_full:
            return OUT_OF_MEMORY
        return vm_error(f"wasm_trap {code.name.lower() if code else 'unknown'}")

"""One guest: an instance of a module within bounds, started once, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from wasmtime import Engine, Instance, Linker, Module, Store, Trap, TrapCode, WasmtimeError

from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.protocol.run_result import ResultCode

from .endings import (
    OUT_OF_MEMORY,
    OUT_OF_TABLES,
    TIMEOUT,
    CallEnded,
    ExecutorFault,
    Outcome,
    vm_error,
)
from .exports import (
    INITIALIZE,
    REASONS,
    START,
    START_FUNCTION,
    WHY,
    exported_function,
    exported_memory_size,
    exported_number,
)
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
                self._instantiate(linker, store, library, instances)
                _call_exported(store, instances[-1], INITIALIZE)
                self._imports.offer(linker, store, name, instances[-1])
            self._instantiate(linker, store, module, instances)
            if not _call_exported(store, instances[-1], START):
                reason = "the module exports no function _start without parameters"
                raise InvalidContract(reason, "wasm entrypoint")
        except (Trap, WasmtimeError) as error:
            return self._ended(error, store, instances)
        return Outcome(ResultCode.RETURN, None)

    def _instantiate(
        self, linker: Linker, store: Store, module: Module, instances: list[Instance]
    ) -> None:
        """Add an instance of `module` to `instances`, and call what it wants called first."""
        self._imports.link(linker, module)
        instances.append(linker.instantiate(store, module))
        _call_exported(store, instances[-1], START_FUNCTION)

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

    def _ended(
        self, error: Trap | WasmtimeError, store: Store, instances: Sequence[Instance]
    ) -> Outcome:
        """Return what the end means, by what an import raised, else by the trap."""
        raised = self._imports.raised
        if isinstance(raised, CallEnded):
            return raised.outcome
        if raised is not None:
            raise raised
        if isinstance(error, Trap):
            reasons = [exported_number(store, each, WHY) for each in instances]
            sizes = [exported_memory_size(store, each) for each in instances]
            return self._trapped(error.trap_code, max(reasons, default=0), sizes)
        if "exceeds memory limits" in str(error):
            return OUT_OF_MEMORY
        if "exceeds table limits" in str(error) or "table count too high" in str(error):
            return OUT_OF_TABLES
        raise InvalidContract(f"the module cannot be started: {error}", "wasm linking")

    def _trapped(self, code: TrapCode | None, reason: int, memory_sizes: Sequence[int]) -> Outcome:
        """Return the outcome of a trap; `reason` is why the module stopped itself, if it did.

        Allocators give up by `unreachable` when their memory may not grow. That is no trap of the
        contract's own making, and the engine shows no other sign of it. Raises `ExecutorFault`
        where the native stack has ended, which depends on the processor.
        """
        if code is TrapCode.INTERRUPT:
            return TIMEOUT
        if code is TrapCode.STACK_OVERFLOW:
            raise ExecutorFault(
                "a guest has used up the native stack of this host before its own frames: make "
                "its functions smaller, or its recursion less deep"
            )
        if reason in REASONS:
            return vm_error(f"wasm_trap {REASONS[reason]}")
        is_full = any(size + _LAST_GROWTH > self._limit for size in memory_sizes)
        if code is TrapCode.UNREACHABLE and is_full:
            return OUT_OF_MEMORY
        return vm_error(f"wasm_trap {code.name.lower() if code else 'unknown'}")


def _call_exported(store: Store, instance: Instance, name: bytes) -> bool:
    """Call the function `name`, and return whether there is one without parameters."""
    function = exported_function(store, instance, name)
    if function is not None:
        function(store)
    return function is not None

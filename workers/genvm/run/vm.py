"""One guest: a module, started once in a world of its own, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha3_256
from typing import NamedTuple, NoReturn

from wasmtime import Engine, Linker, Module, Store, Trap, TrapCode, WasmtimeError

from genvm_manager.protocol.contract.code import InvalidContract
from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.genvm.calls import sdk_imports
from genvm_manager.workers.genvm.calls.context import CallContext, Outcome, OutOfMemory, vm_error
from genvm_manager.workers.genvm.calls.operations import Operations
from genvm_manager.workers.genvm.calls.sdk import CallEnded
from genvm_manager.workers.genvm.calls.sdk_imports import SdkImports
from genvm_manager.workers.genvm.calls.shared_run import Run
from genvm_manager.workers.genvm.engine.deadline import Deadline, TimeUp
from genvm_manager.workers.genvm.engine.exports import exported_memory_size, exported_start
from genvm_manager.workers.genvm.engine.imports import Imports, UnknownImport
from genvm_manager.workers.genvm.engine.memory import Memory
from genvm_manager.workers.genvm.python.bridge import Exchange
from genvm_manager.workers.genvm.wasi import wasi
from genvm_manager.workers.genvm.wasi.descriptors import (
    Bridge,
    Collected,
    Errno,
    Input,
    Output,
    WasiError,
)
from genvm_manager.workers.genvm.wasi.files import WasiFiles
from genvm_manager.workers.genvm.wasi.filesystem import Device, FileTree
from genvm_manager.workers.genvm.wasi.wasi import (
    Environment,
    GuestExit,
    Wasi,
    machine_clock,
    machine_random,
    seeded_random,
    standing_clock,
)

from .contract_clock import Pause
from .programs import Program

_LAST_GROWTH = 1 << 20
"""Bytes below its limit at which a memory counts as full."""

MAX_TABLE_ELEMENTS = 1 << 18
MAX_TABLES = 8
"""Together 16 MiB of ours for each guest, of which one may be inside another."""

_TOOL_MEMORY = 512 << 20
_MAX_TOOL_OUTPUT = 64 << 20


class GuestEnv(NamedTuple):
    """What guests share: the engine, the run they are part of, and where their prints go."""

    engine: Engine
    run: Run
    outputs: tuple[Output, Output]


def run_guest(
    world: GuestEnv,
    program: Program,
    module: Module,
    context: CallContext,
    booted: Callable[[], None],
) -> Outcome:
    """Start `module` as `program` says, and wait for its end.

    `booted` is called when it comes to read its start message. An end without `Return` and with
    status 0 returns null. Raises `InvalidContract` for a module that cannot be started, and lets
    through what `Run.host` raises when the host is gone.
    """
    memory = Memory()
    operations = Operations(world.run, context, lambda: memory.size)
    start_message = context.start_message()
    environment = _environment(program, context, start_message)
    bridge = Bridge(Exchange(operations))

    def open_device(device: Device) -> Bridge:
        # All that is open there has one answer: we hold it until it is read.
        bridge.inode = device.inode
        return bridge

    files = WasiFiles(
        memory,
        program.tree,
        [Input(start_message, booted), *world.outputs],
        open_device,
    )
    catalogue = {
        wasi.MODULE: Wasi(memory, environment).imports() | files.imports(),
        sdk_imports.MODULE: SdkImports(memory, operations, files).imports(),
    }
    imports = Imports(memory, catalogue, world.run.deadline)
    guest = _Guest(world.engine, imports, context.memory_limit)
    try:
        return guest.start(module)
    finally:
        files.close()


def _environment(program: Program, context: CallContext, start_message: bytes) -> Environment:
    arguments, variables = program.arguments, program.variables
    if not context.is_det:
        return Environment(arguments, variables, machine_clock, machine_random)
    clock = standing_clock(context.message.nanoseconds)
    return Environment(arguments, variables, clock, seeded_random(sha3_256(start_message).digest()))


def run_tool(engine: Engine, module: Module, arguments: list[str], tree: FileTree) -> bytes:
    """What `module` writes to stdout: work of our own, in a guest that has no host.

    Raises `ToolFailed` when it does not end well.
    """
    memory = Memory()
    collected = Collected(_MAX_TOOL_OUTPUT)
    files = WasiFiles(
        memory, tree, [Input(b""), collected, Output(2, lambda: None, Pause())], _no_device
    )
    environment = Environment(arguments, {}, standing_clock(0), seeded_random(b""))
    catalogue = {wasi.MODULE: Wasi(memory, environment).imports() | files.imports()}
    imports = Imports(memory, catalogue, Deadline())
    outcome = _Guest(engine, imports, _TOOL_MEMORY).start(module)
    if outcome.code is not ResultCode.RETURN:
        raise ToolFailed(f"{' '.join(arguments[:2])}: {outcome.data}")
    return collected.content()


class ToolFailed(Exception):
    """Work of our own in a guest ended badly."""


def _no_device(_: Device) -> NoReturn:
    raise WasiError(Errno.NOTSUP)


class _Guest:
    def __init__(self, engine: Engine, imports: Imports, memory_limit: int) -> None:
        self._engine = engine
        self._imports = imports
        self._limit = memory_limit

    def start(self, module: Module) -> Outcome:
        store = self._new_store()
        linker = Linker(self._engine)
        try:
            self._imports.link(linker, module)
            instance = linker.instantiate(store, module)
        except UnknownImport as error:
            raise InvalidContract(f"the import {error} is unknown to this executor") from None
        except (Trap, WasmtimeError) as error:
            return self._ended(error, memory_size=0)
        start = exported_start(store, instance)
        if start is None:
            raise InvalidContract("the module exports no function _start without parameters")
        try:
            start(store)
        except (Trap, WasmtimeError) as error:
            return self._ended(error, exported_memory_size(store, instance))
        return Outcome(ResultCode.RETURN, None)

    def _new_store(self) -> Store:
        store = Store(self._engine)
        store.set_epoch_deadline(1)
        store.set_limits(
            memory_size=max(self._limit, 0),
            table_elements=MAX_TABLE_ELEMENTS,
            tables=MAX_TABLES,
            instances=1,
            memories=1,
        )
        return store

    def _ended(self, error: Trap | WasmtimeError, memory_size: int) -> Outcome:
        """What a guest's end means, by what our functions raised, else by the trap."""
        raised = self._imports.raised
        if isinstance(raised, CallEnded):
            return raised.outcome
        if isinstance(raised, OutOfMemory):
            return vm_error("OOM")
        if isinstance(raised, TimeUp):
            return vm_error("timeout")
        if isinstance(raised, GuestExit):
            status = raised.status
            return vm_error(f"exit_code {status}") if status else Outcome(ResultCode.RETURN, None)
        if raised is not None:
            raise raised
        if isinstance(error, Trap):
            return self._trapped(error.trap_code, memory_size)
        if "exceeds memory limits" in str(error):
            return vm_error("OOM")
        raise InvalidContract(f"the module cannot be started: {error}")

    def _trapped(self, code: TrapCode | None, memory_size: int) -> Outcome:
        """Allocators give up by `unreachable` when their memory may not grow: that is no trap of
        the contract's own making, and the engine has no other sign of it."""
        if code is TrapCode.INTERRUPT:
            return vm_error("timeout")
        if code is TrapCode.UNREACHABLE and memory_size + _LAST_GROWTH > self._limit:
            return vm_error("OOM")
        return vm_error(f"wasm_trap {code.name.lower() if code else 'unknown'}")

"""One guest of a contract: its files, its imports and its environment."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha3_256
from typing import NamedTuple

from wasmtime import Engine, Module

from genvm_manager.workers.genvm.calls import sdk_imports
from genvm_manager.workers.genvm.calls.context import CallContext
from genvm_manager.workers.genvm.calls.operations import Operations
from genvm_manager.workers.genvm.calls.sdk_imports import SdkImports
from genvm_manager.workers.genvm.calls.shared_run import Run
from genvm_manager.workers.genvm.engine.endings import Outcome
from genvm_manager.workers.genvm.engine.guest import Guest
from genvm_manager.workers.genvm.engine.imports import Imports
from genvm_manager.workers.genvm.engine.memory import Memory
from genvm_manager.workers.genvm.python.bridge import RequestHandler
from genvm_manager.workers.genvm.wasi import wasi
from genvm_manager.workers.genvm.wasi.descriptors import Bridge, Descriptor, Input, Output
from genvm_manager.workers.genvm.wasi.files import WasiFiles
from genvm_manager.workers.genvm.wasi.filesystem import Device
from genvm_manager.workers.genvm.wasi.wasi import (
    Environment,
    Wasi,
    fixed_clock,
    machine_clock,
    machine_random,
    seeded_random,
)

from .programs import Program


class Prepared(NamedTuple):
    """The modules of a program, compiled; `linked` by the names under which they are imported."""

    module: Module
    linked: list[tuple[str, Module]]


class GuestEnv(NamedTuple):
    """What guests share: the engine, the run they are part of, and where their prints go."""

    engine: Engine
    run: Run
    outputs: tuple[Output, Output]


def run_guest(
    env: GuestEnv,
    program: Program,
    prepared: Prepared,
    context: CallContext,
    booted: Callable[[], None],
) -> Outcome:
    """Start `prepared` as `program` says, and return how it ended.

    `booted` is called when the guest begins to read its start message. Raises `InvalidContract`
    for a module that cannot be started, and what `Run.host` raises when the host is gone.
    """
    memory = Memory(of_caller=bool(prepared.linked))
    operations = Operations(env.run, context, lambda: memory.size)
    start_message = context.start_message()
    standard = [Input(start_message, booted), *env.outputs]
    files = WasiFiles(memory, program.tree, standard, _device_opener(operations))
    others = Wasi(memory, _environment(program, context, start_message))
    catalogue = {
        wasi.MODULE: others.imports() | files.imports(),
        sdk_imports.MODULE: SdkImports(memory, operations, files).imports(),
    }
    imports = Imports(memory, catalogue, env.run.deadline)
    try:
        outcome = Guest(env.engine, imports, context.memory_limit).run(*prepared)
    finally:
        files.close()
    return outcome if outcome.why else outcome._replace(why=operations.failure)


def _device_opener(operations: Operations) -> Callable[[Device], Descriptor]:
    """Return what opens the device at which a Python guest reaches the host.

    All that is open there shares one answer: it is kept until it is read. An answer that was asked
    for apart from it is what is opened next.
    """
    handler = RequestHandler(operations)
    bridge = Bridge(handler)

    def open_device(device: Device) -> Descriptor:
        opened = handler.take_apart() or bridge
        opened.inode = device.inode
        return opened

    return open_device


def _environment(program: Program, context: CallContext, start_message: bytes) -> Environment:
    arguments, variables = program.arguments, program.variables
    if not context.is_det:
        return Environment(arguments, variables, machine_clock, machine_random)
    clock = fixed_clock(context.message.nanoseconds)
    return Environment(arguments, variables, clock, seeded_random(sha3_256(start_message).digest()))

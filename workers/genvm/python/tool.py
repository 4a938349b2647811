"""Work of the executor's own that is done in a guest, which has no host."""

from __future__ import annotations

from typing import NoReturn

from wasmtime import Engine, Module

from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.genvm.engine.contract_clock import Pause
from genvm_manager.workers.genvm.engine.deadline import Deadline
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.engine.guest import Guest
from genvm_manager.workers.genvm.engine.imports import Imports
from genvm_manager.workers.genvm.engine.memory import Memory
from genvm_manager.workers.genvm.wasi import wasi
from genvm_manager.workers.genvm.wasi.descriptors import Collected, Input, Output
from genvm_manager.workers.genvm.wasi.errors import Errno, WasiError
from genvm_manager.workers.genvm.wasi.files import WasiFiles
from genvm_manager.workers.genvm.wasi.filesystem import Device, FileTree
from genvm_manager.workers.genvm.wasi.wasi import Environment, Wasi, fixed_clock, seeded_random

_MEMORY = 512 << 20
_MAX_OUTPUT = 64 << 20


def run_tool(engine: Engine, module: Module, arguments: list[str], tree: FileTree) -> bytes:
    """Return what `module` writes to stdout. Raises `ExecutorFault` when it does not end well."""
    memory = Memory()
    collected = Collected(_MAX_OUTPUT)
    standard = [Input(b""), collected, Output(2, lambda: None, Pause())]
    files = WasiFiles(memory, tree, standard, _no_device)
    environment = Environment(arguments, {}, fixed_clock(0), seeded_random(b""))
    catalogue = {wasi.MODULE: Wasi(memory, environment).imports() | files.imports()}
    outcome = Guest(engine, Imports(memory, catalogue, Deadline()), _MEMORY).run(module)
    if outcome.code is not ResultCode.RETURN:
        raise ExecutorFault(f"{' '.join(arguments[:2])} in the guest ended with {outcome.data}")
    return collected.content()


def _no_device(_: Device) -> NoReturn:
    raise WasiError(Errno.NOTSUP)

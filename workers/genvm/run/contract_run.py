"""One run of the executor: the call, the calls inside it, and the result.

Source: docs/spec/04-executor.md#the-result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from wasmtime import Module

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.code import MAX_CODE, InvalidContract, parse
from genvm_manager.protocol.executor import ExecutionData, ExecutionDataError
from genvm_manager.protocol.host import StorageType
from genvm_manager.protocol.run_result import ResultCode, RunResult, execution_hash
from genvm_manager.workers.genvm.calls.context import (
    Budget,
    CallContext,
    Effects,
    EntryKind,
    Outcome,
    OutOfMemory,
    decode_message,
    vm_error,
)
from genvm_manager.workers.genvm.calls.hosts import ANSWER_SECONDS, Hosts
from genvm_manager.workers.genvm.calls.modules import ModuleFailed, Modules
from genvm_manager.workers.genvm.calls.nondet_blocks import NondetBlocks, NothingToReplay
from genvm_manager.workers.genvm.calls.storage import (
    CommittedPages,
    PageCache,
    locked_slots,
    read_code,
    write_code,
)
from genvm_manager.workers.genvm.engine.compile_cache import (
    LIMITS_ID,
    CompileCache,
    contracts_cache,
)
from genvm_manager.workers.genvm.engine.compiler import (
    CompilerBounds,
    CompilerFailed,
    InvalidModule,
)
from genvm_manager.workers.genvm.engine.deadline import Deadline, TimeUp
from genvm_manager.workers.genvm.engine.engine import new_engine
from genvm_manager.workers.genvm.engine.guest_thread import GuestThread, NoThread
from genvm_manager.workers.genvm.python.cpython import GuestMissing
from genvm_manager.workers.genvm.python.python_guest import PythonGuest
from genvm_manager.workers.genvm.wasi.descriptors import Output

from .contract_clock import ContractClock
from .log import Log
from .programs import Program, program_of
from .timings import Timings
from .vm import GuestEnv, ToolFailed, run_guest

MAX_KEPT_MODULES = 64
"""Modules that a run keeps at hand for calls of the same contract."""

HOST_MEMORY = 256 << 20
"""Bytes of our own memory that a run may fill with written pages and emissions."""

_COPIES_OF_CODE = 2
"""Of a contract that is being called: as a whole, and as the files of its ZIP."""

_TICK = 0.1
"""Seconds between two reminders to a guest that is out of time."""

_MAX_TICKS = round((ANSWER_SECONDS + 10) / _TICK)


class Limits(NamedTuple):
    """What a run may use: bytes of memory, seconds, and a folder for compiled modules, with the
    bytes that contracts may take in it."""

    memory: int
    seconds: float
    cache_folder: Path
    cache_bytes: int


class ContractRun:
    """Runs one contract call against `host`; also what the guests of that run share (`sdk.Run`)."""

    def __init__(
        self, host: Hosts, modules: Modules, nondet: NondetBlocks, limits: Limits, log: Log
    ) -> None:
        self.host = host
        self.modules = modules
        self.nondet = nondet
        self.deadline = Deadline()
        self._clock = ContractClock(host.pause)
        self._limits = limits
        self._log = log
        self._engine = new_engine()
        check, pause = self.deadline.check, host.pause
        outputs = Output(1, check, pause), Output(2, check, pause)
        self._world = GuestEnv(self._engine, self, outputs)
        self._warned: set[str] = set()
        self._modules: dict[bytes, Module | InvalidContract] = {}
        self._python = PythonGuest(self._engine, limits.cache_folder, self._warn)
        self._pages = PageCache()
        self._used: float | None = None

    def execute(self, data: ExecutionData, permissions: frozenset[str]) -> RunResult:
        """Run the call to its end; a fault of ours gives an internal error.

        Raises `HostProtocolError` when a host is gone.
        """
        try:
            context = self._main_context(data, permissions)
            outcome = self._within_time(lambda: self._enter(context, data.code))
            result = _result(outcome, context.effects, data.extras.get("bucket_totals"))
        except _OUR_FAULTS as error:
            self._log.error(f"the run failed: {error}")
            result = internal_error(str(error))
        return result._replace(
            nondet_results=self.nondet.results, nondet_disagreement=self.nondet.disagreement
        )

    def committed(self, address: Address, storage_type: StorageType) -> CommittedPages:
        """The pages that the host has for a contract, one cache for the whole run."""
        return CommittedPages(self.host, address, storage_type, self._pages)

    def call(self, context: CallContext) -> Outcome:
        """Run a guest inside the current one, on a stack of its own."""
        return GuestThread(lambda: self._call_inside(context)).result()

    def trace(self, message: str) -> None:
        """Put a contract's own message into the log."""
        with self.host.pause:
            self._log.of_contract("info", message, source="contract")

    def microseconds(self) -> int:
        """How long the contract has taken so far."""
        return round(self._clock.seconds() * 1e6)

    def _main_context(self, data: ExecutionData, permissions: frozenset[str]) -> CallContext:
        message = decode_message(data.message)
        pages = self.committed(message.contract_address, StorageType.DEFAULT)
        return CallContext(
            message=message,
            entry_kind=EntryKind.MAIN,
            entry_data=data.calldata,
            permissions=permissions,
            effects=Effects(pages, Budget(HOST_MEMORY)),
            memory_limit=self._limits.memory,
        )

    def _within_time(self, work: Callable[[], Outcome]) -> Outcome:
        """Return the outcome of `work`, or `timeout` where it took longer than the contract may.

        Once its time is up, every guest it runs traps. One that does not, because it waits for us,
        is left behind. What a caller made of an inner call that was cut off does not count: the
        time decides alone, and what is not counted changes nothing.
        """
        running = GuestThread(lambda: self._timed(work))
        done = running.wait(self._limits.seconds)
        while not done and (left := self._seconds_left()) > 0:
            done = running.wait(max(left, _TICK))
        self.deadline.is_over = True
        for _ in range(_MAX_TICKS):
            if done:
                break
            self._engine.increment_epoch()
            done = running.wait(_TICK)
        if self._used is None or self._used > self._limits.seconds:
            return vm_error("timeout")
        return running.result()

    def _timed(self, work: Callable[[], Outcome]) -> Outcome:
        try:
            return work()
        finally:
            self._used = self._clock.seconds()

    def _seconds_left(self) -> float:
        """Of the time that the contract has. Waiting for hosts, for modules and for whoever reads
        what it prints is not counted: how long they take is not its doing, and the manager's
        deadline ends a run that waits in vain. Nor is getting a module ready, which takes longer
        where it has to be compiled."""
        return self._limits.seconds - self._clock.seconds()

    def _enter(self, context: CallContext, code: bytes | None) -> Outcome:
        """The call itself; with `code` it is a deployment, which leaves the code in storage."""
        storage, sender = context.effects.storage, context.message.sender_address
        try:
            if code is None:
                context = context._replace(locked=locked_slots(storage, sender))
            else:
                write_code(storage, code)
            return self._call(context, code)
        except OutOfMemory:
            return vm_error("OOM")
        except TimeUp:
            return vm_error("timeout")
        except InvalidContract as error:
            return self._invalid(error)

    def _call_inside(self, context: CallContext) -> Outcome:
        """A guest inside another one, which waits meanwhile with all that it holds."""
        try:
            code = read_code(context.effects.storage, MAX_CODE)
        except InvalidContract as error:
            return self._invalid(error)
        with context.effects.holding(_COPIES_OF_CODE * len(code)):
            return self._call(context, code)

    def _call(self, context: CallContext, code: bytes | None = None) -> Outcome:
        """One guest. `code`: that of the contract, where it need not be read."""
        try:
            if code is None:
                code = read_code(context.effects.storage, MAX_CODE)
            program = program_of(parse(code), is_det=context.is_det)
            times = Timings()
            with self.host.pause:
                module = self._prepared(program)
            times.mark("module_ms")
            outcome = run_guest(
                self._world, program, module, context, lambda: times.mark("boot_ms")
            )
        except InvalidContract as error:
            return self._invalid(error)
        times.mark("contract_ms")
        guest = times.total() - times.parts["module_ms"]
        self._log.debug("guest_ended", guest_ms=round(guest, 2), **times.parts)
        return outcome

    def _invalid(self, error: InvalidContract) -> Outcome:
        self._log.of_contract("error", f"the contract cannot be started: {error}")
        return vm_error(error.code)

    def _prepared(self, program: Program) -> Module:
        """The module of `program`; a Python contract gets its library as well."""
        if program.module is None:
            self._python.put_library(program.tree)
            return self._python.module()
        digest = hashlib.sha256(program.module).digest()
        if digest not in self._modules:
            if len(self._modules) >= MAX_KEPT_MODULES:
                self._modules.clear()
            self._modules[digest] = self._loaded(digest, program.module)
        found = self._modules[digest]
        if isinstance(found, InvalidContract):
            raise found
        return found

    def _loaded(self, digest: bytes, wasm: bytes) -> Module | InvalidContract:
        """Return the module of a contract, compiled, or why it is none.

        Raises `CompilerFailed`.
        """
        limits = self._limits
        cache = contracts_cache(limits.cache_folder, limits.cache_bytes, self._warn)
        compiled = CompileCache(self._engine, cache, CompilerBounds(), f"-{LIMITS_ID}")
        try:
            return compiled.load(digest, lambda: _compilable(wasm))
        except InvalidModule as error:
            return InvalidContract(f"the module does not compile: {error}")
        except InvalidContract as error:
            return error

    def _warn(self, reason: str) -> None:
        """Say once what an operator should mend."""
        if reason not in self._warned:
            self._warned.add(reason)
            self._log.warning(reason)


def _compilable(wasm: bytes) -> bytes:
    """Return what of a module is to be compiled. Raises `InvalidContract`."""
    from genvm_manager.workers.genvm.engine.wasm_limits import without_custom_sections  # noqa: PLC0415 (paid for when compiling)

    return without_custom_sections(wasm)


_OUR_FAULTS = (
    ExecutionDataError,
    GuestMissing,
    CompilerFailed,
    ToolFailed,
    ModuleFailed,
    NoThread,
    NothingToReplay,
)


def internal_error(message: str) -> RunResult:
    """The result of a run that failed through no fault of the contract."""
    return _result(Outcome(ResultCode.INTERNAL_ERROR, message))


def out_of_memory() -> RunResult:
    """The result of a run whose own is more than a host takes in one message."""
    return _result(vm_error("OOM"))


def _result(outcome: Outcome, effects: Effects | None = None, fees: object = None) -> RunResult:
    """The result of a run; only a return takes its effects along. `fees`: what is left of them."""
    kept = effects if outcome.code is ResultCode.RETURN else None
    changes = kept.storage.changes() if kept else []
    emissions = kept.emissions if kept else []
    data = calldata.encoded(outcome.data)  # It is part of the hash, and of the result.
    return RunResult(
        code=outcome.code,
        data=data,
        execution_hash=execution_hash(outcome.code, data, changes, emissions),
        storage_changes=changes,
        emissions=emissions,
        nondet_results=[],
        nondet_disagreement=None,
        data_fees_remaining=fees if isinstance(fees, list) else [],
        fingerprint=None,
    )

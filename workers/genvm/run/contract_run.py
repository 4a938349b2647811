"""One run of the executor: the call, the calls inside it, and the result.

Source: docs/spec/04-executor.md#the-result.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wasmtime import Module

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.code import MAX_CODE, module_name, parse
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.host.client import HostClient
from genvm_manager.protocol.host.messages import StorageType
from genvm_manager.protocol.limits import MAX_CONTRACT_ERROR
from genvm_manager.protocol.run_result import ResultCode, RunResult, execution_hash
from genvm_manager.workers.genvm.calls.context import (
    Budget,
    CallContext,
    Effects,
    EntryKind,
    decode_message,
)
from genvm_manager.workers.genvm.calls.hosts import ANSWER_SECONDS
from genvm_manager.workers.genvm.calls.modules import Modules
from genvm_manager.workers.genvm.calls.nondet_blocks import NondetBlocks
from genvm_manager.workers.genvm.calls.storage import CommittedPages, PageCache
from genvm_manager.workers.genvm.calls.stored_contract import locked_slots, read_code, write_code
from genvm_manager.workers.genvm.engine.compile_cache import (
    CompileCache,
    contract_rules,
    contracts_cache,
)
from genvm_manager.workers.genvm.engine.compiler import CompilerBounds
from genvm_manager.workers.genvm.engine.contract_clock import ContractClock, Pause
from genvm_manager.workers.genvm.engine.deadline import Deadline
from genvm_manager.workers.genvm.engine.endings import (
    OUT_OF_RECEIPT,
    TIMEOUT,
    CallEnded,
    ExecutorFault,
    Outcome,
    vm_error,
)
from genvm_manager.workers.genvm.engine.engine import new_engine
from genvm_manager.workers.genvm.engine.guest_thread import GuestThread
from genvm_manager.workers.genvm.log import Log
from genvm_manager.workers.genvm.python.python_guest import PythonGuest
from genvm_manager.workers.genvm.wasi.descriptors import Output

from .programs import Program, program_of
from .runners import RunnerFolder
from .timings import Timings
from .vm import GuestEnv, Prepared, run_guest

if TYPE_CHECKING:
    from genvm_manager.workers.genvm.embeddings.model import EmbeddingModel

MAX_KEPT_MODULES = 64
"""Modules that a run keeps at hand for calls of the same contract."""

HOST_MEMORY = 256 << 20
"""Bytes of our own memory that a run may fill with written pages and emissions."""

_COPIES_OF_CODE = 2
"""Of a contract that is being called: as a whole, and as the files of its ZIP."""

_TICK = 0.1
"""Seconds between two reminders to a guest that is out of time."""

_SHORT_TICK = 0.01
"""The same for a run that was told to stop."""

_MAX_TICKS = round((ANSWER_SECONDS + 10) / _TICK)


class Limits(NamedTuple):
    """What a run may use: bytes of memory, and seconds of the contract's own time.

    Compiled modules are kept in `cache_folder`, those of contracts in `cache_bytes` of it. An
    operator's own runners are in `runners_folder`.
    """

    memory: int
    seconds: float
    cache_folder: Path
    cache_bytes: int
    runners_folder: Path | None


class Peers(NamedTuple):
    """Whom a run asks: its hosts, its modules, and what others computed for its nondet blocks.

    `pause` lasts while one of them is asked.
    """

    host: HostClient
    modules: Modules
    nondet: NondetBlocks
    pause: Pause


class ContractRun:
    """Runs one contract call; also what all guests of that run share (`shared_run.Run`)."""

    def __init__(self, peers: Peers, limits: Limits, log: Log) -> None:
        self.host, self.modules, self.nondet, self._pause = peers
        self.deadline = Deadline()
        self._clock = ContractClock(self._pause)
        self._limits = limits
        self._log = log
        self._engine = new_engine()
        check = self.deadline.check
        outputs = Output(1, check, self._pause), Output(2, check, self._pause)
        self._env = GuestEnv(self._engine, self, outputs)
        self._warned: set[str] = set()
        self._modules: dict[tuple[bytes, bool], Module | InvalidContract] = {}
        self._runners = RunnerFolder(limits.runners_folder)
        self._python = PythonGuest(self._engine, limits.cache_folder, self._warn)
        self._model: EmbeddingModel | None = None
        self._pages = PageCache()
        self._used: float | None = None
        self._running: GuestThread[Outcome] | None = None

    def execute(self, data: ExecutionData, permissions: frozenset[str]) -> RunResult:
        """Run the call to its end; a fault of ours gives an internal error.

        Raises `HostProtocolError` when a host is gone.
        """
        try:
            context = self._main_context(data, permissions)
            outcome = self._within_time(lambda: self._enter(context, data.code))
            self._log_failure(outcome)
            result = _result(outcome, context.effects, data.extras.get("bucket_totals"))
        except (ExecutorFault, MalformedMessage) as error:
            self._log.error(f"the run failed: {error}")
            result = internal_error(str(error))
        return result._replace(
            nondet_results=self.nondet.results, nondet_disagreement=self.nondet.disagreement
        )

    def stop(self, seconds: float) -> None:
        """End the guests of a call whose `execute` was interrupted.

        A guest that waits for a host, a module or the compiler for more than `seconds` is left
        behind: it does nothing any more when that answers.
        """
        self.deadline.is_over = True
        end = time.monotonic() + seconds
        while self._running is not None and time.monotonic() < end:
            self._engine.increment_epoch()
            if self._running.wait(_SHORT_TICK):
                break

    def timed_out(self) -> RunResult:
        """Return the result of a run that was told to stop."""
        return timed_out()._replace(
            nondet_results=list(self.nondet.results),
            nondet_disagreement=self.nondet.disagreement,
        )

    def committed(self, address: Address, storage_type: StorageType) -> CommittedPages:
        """Return the pages that the host has for a contract, one cache for the whole run."""
        return CommittedPages(self.host, address, storage_type, self._pages)

    def call(self, context: CallContext) -> Outcome:
        """Run a guest inside the current one, on a stack of its own."""
        return GuestThread(lambda: self._call_inside(context)).result()

    def trace(self, message: str) -> None:
        """Put a contract's own message into the log."""
        with self._pause:
            self._log.of_contract("info", message, source="contract")

    def embed(self, tokens: Sequence[int]) -> bytes:
        """Return the vector of a text by all-MiniLM-L6-v2. Getting it ready takes no time."""
        if self._model is None:
            # Few contracts want it.
            from genvm_manager.workers.genvm.embeddings.model import EmbeddingModel  # noqa: PLC0415

            with self._pause:
                self._model = EmbeddingModel(self._engine, self._limits.cache_folder, self._warn)
        return self._model.embed(tokens)

    def microseconds(self) -> int:
        """Return how long the contract has taken so far."""
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

        Once its time is up, every guest it runs traps. A guest that does not, because it waits for
        the executor, is left behind. What a caller made of an inner call that was cut off does not
        count: the time decides alone, and what is not counted changes nothing.
        """
        running = self._running = GuestThread(lambda: self._timed(work))
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
            return TIMEOUT._replace(why=f"it ran longer than {self._limits.seconds:g} s")
        return running.result()

    def _timed(self, work: Callable[[], Outcome]) -> Outcome:
        try:
            return work()
        finally:
            self._used = self._clock.seconds()

    def _seconds_left(self) -> float:
        """Return the seconds that the contract has left.

        Waiting for hosts, for modules and for the readers of its output is not counted: how long
        they take is not its doing, and the manager's deadline ends a run that waits in vain.
        Getting a module ready is not counted either: it takes longer where it must be compiled.
        """
        return self._limits.seconds - self._clock.seconds()

    def _enter(self, context: CallContext, code: bytes | None) -> Outcome:
        """Run the outermost call. With `code` it is a deployment, which stores the code."""
        storage, sender = context.effects.storage, context.message.sender_address
        try:
            context = context._replace(locked=locked_slots(storage, sender))
            if code is not None:
                write_code(storage, code)
            return self._call(context, code)
        except CallEnded as ended:
            return ended.outcome
        except InvalidContract as error:
            return _invalid(error, context)

    def _call_inside(self, context: CallContext) -> Outcome:
        """Run a guest inside another one, which waits meanwhile with all that it holds."""
        try:
            code = read_code(context.effects.storage, MAX_CODE)
        except InvalidContract as error:
            return _invalid(error, context)
        with context.effects.holding(_COPIES_OF_CODE * len(code)):
            return self._call(context, code)

    def _call(self, context: CallContext, code: bytes | None = None) -> Outcome:
        """Run one guest. `code` is that of the contract, where it need not be read."""
        try:
            if code is None:
                code = read_code(context.effects.storage, MAX_CODE)
            program = program_of(parse(code), self._runners, is_det=context.is_det)
            times = Timings()
            with self._pause:
                prepared = self._prepared(program, context.is_det)
            times.mark("module_ms")
            outcome = run_guest(
                self._env, program, prepared, context, lambda: times.mark("boot_ms")
            )
        except InvalidContract as error:
            return _invalid(error, context)
        times.mark("contract_ms")
        guest = times.total() - times.parts["module_ms"]
        self._log.debug("guest_ended", guest_ms=round(guest, 2), **times.parts)
        if outcome.why:
            self._log.debug("guest_failed", error=outcome.data, why=outcome.why)
        return outcome

    def _log_failure(self, outcome: Outcome) -> None:
        """Log why the contract ended with an error of the machine, if that is known."""
        why = outcome.why.partition("\n")[0][:MAX_CONTRACT_ERROR]
        if outcome.code is not ResultCode.VM_ERROR or not why:
            return
        is_invalid = outcome.data.startswith("invalid_contract")
        ended = "cannot be started" if is_invalid else f"ended with {outcome.data}"
        self._log.error(f"the contract {ended}: {why}", contract_error=why)

    def _prepared(self, program: Program, is_det: bool) -> Prepared:
        """Return the modules of `program`; a Python contract gets its library as well.

        Where `is_det`, modules of contracts trap at their floats.
        """
        if program.module is None:
            self._python.put_library(program.tree, program.libraries)
            return Prepared(self._python.module(), [])
        linked = [
            (module_name(wasm) or path, self._module(wasm, is_det))
            for path, wasm in program.linked.items()
        ]
        return Prepared(self._module(program.module, is_det), linked)

    def _module(self, wasm: bytes, is_det: bool) -> Module:
        digest = hashlib.sha256(wasm).digest()
        if (digest, is_det) not in self._modules:
            if len(self._modules) >= MAX_KEPT_MODULES:
                self._modules.clear()
            self._modules[digest, is_det] = self._loaded(digest, wasm, is_det)
        found = self._modules[digest, is_det]
        if isinstance(found, InvalidContract):
            raise found
        return found

    def _loaded(self, digest: bytes, wasm: bytes, is_det: bool) -> Module | InvalidContract:
        """Return the module of a contract, compiled, or why it is none.

        Raises `ExecutorFault`.
        """
        limits = self._limits
        cache = contracts_cache(limits.cache_folder, limits.cache_bytes, self._warn)
        rules = contract_rules(floats_trap=is_det)
        try:
            return CompileCache(self._engine, cache, CompilerBounds(), rules).load(
                digest, lambda: wasm
            )
        except InvalidContract as error:
            return error

    def _warn(self, reason: str) -> None:
        """Log once what an operator should mend."""
        if reason not in self._warned:
            self._warned.add(reason)
            self._log.warning(reason)


def _invalid(error: InvalidContract, context: CallContext) -> Outcome:
    """Return the outcome for a contract that cannot be started; a called one is named."""
    called = f"{context.message.contract_address}: " if context.stack else ""
    return vm_error(error.code, f"{called}{error}")


def internal_error(message: str) -> RunResult:
    """Return the result of a run that failed through no fault of the contract."""
    return _result(Outcome(ResultCode.INTERNAL_ERROR, message))


def timed_out() -> RunResult:
    """Return the result of a run that was told to stop before it had done anything."""
    return _result(TIMEOUT)


def out_of_receipt() -> RunResult:
    """Return the result of a run whose own is more than a host takes in one message."""
    return _result(OUT_OF_RECEIPT)


def _result(outcome: Outcome, effects: Effects | None = None, fees: object = None) -> RunResult:
    """Return the result of a run. Only a return keeps its `effects`. `fees`: what is left."""
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

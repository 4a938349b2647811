"""The single owner of mutable state: the runs under way, and whether new ones may come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from genvm_manager.base.errors import (
    ManagerError,
    Refusal,
    RunNotFound,
    ShutdownTimeout,
    Unavailable,
)
from genvm_manager.base.process.killing import KILL_TIMEOUT
from genvm_manager.base.wall_clock import utc
from genvm_manager.protocol.ipc.commands import ReadArtifact, ReadSchema, StartRun
from genvm_manager.protocol.ipc.replies import ArtifactPart
from genvm_manager.protocol.ipc.runs import MAX_ARTIFACT_PART, Cause, FinishedRun, without_outputs
from genvm_manager.protocol.ipc.status import Permits, Status
from genvm_manager.protocol.limits import MAX_WAIT
from genvm_manager.supervisor.runs.code_host import CodeStorage
from genvm_manager.supervisor.runs.history import SHOWN, History
from genvm_manager.supervisor.runs.invariant_checker import InvariantChecker
from genvm_manager.supervisor.runs.lifecycle import RunLifecycle
from genvm_manager.supervisor.runs.rules_admission import AdmissionPolicy, admit
from genvm_manager.supervisor.runs.rules_schema_run import CONTRACT, schema_run
from genvm_manager.supervisor.runs.run import Run
from genvm_manager.supervisor.store.failure import StoreFailed
from genvm_manager.supervisor.store.writes import Accepted
from genvm_manager.supervisor.telemetry.state_metrics import StateMetrics

from .controls import SHUTTING_DOWN, Controls

MAX_GRACE = 24 * 3600.0

_AUDIT_AFTER = 0.1
"""Seconds after a run has come or gone, or the budget has changed, until the books are audited:
many such events share one look."""

_RECORD_TIMEOUT = 3.0
"""Seconds for recording an end, on top of those for the end itself."""


class Service:
    """What the handlers of commands call. All of it runs on one event loop."""

    def __init__(
        self,
        life: RunLifecycle,
        policy: AdmissionPolicy,
        controls: Controls,
    ) -> None:
        self.life = life
        self.changes = life.changes
        self.controls = controls
        self.metrics = life.metrics
        self.modules = life.modules
        self.metrics.add(StateMetrics(self.status))
        self.history = History(life.store.reads.newest_finished(SHOWN))
        self._store = life.store
        self._desk = life.desk
        self._auditor = InvariantChecker(life.desk, life.reaper, life.log)
        self._sampled_at: float | None = None
        self._audit_timer: asyncio.TimerHandle | None = None
        self._log = life.log
        self._policy = policy
        self._last_id = life.store.last_id
        self._runs: dict[int, Run] = {}
        self._acceptors: dict[int, asyncio.Task[Any]] = {}
        self._lives: dict[int, asyncio.Task[None]] = {}
        self._health: tuple[str | None, list[str]] = (None, [])
        self._state_fault: str | None = None

    @property
    def runs(self) -> Iterable[Run]:
        """The runs that are not finished, in the order of their ids."""
        return self._runs.values()

    # -------------------------------------------------------------------------------------- runs

    async def start_run(self, request: StartRun) -> int:
        """Start a run and give its id once its child runs.

        A token that is retained gives the id of its run. Raises `BadRequest`, `Unavailable` or a
        `RequestFailed`; a run that fails to start leaves nothing behind.
        """
        admit(request, self._policy)
        await self.modules.require_other(request.host)
        self._require_open()
        run = self._queue(request)
        recorded_id = await self._accept(run)
        if recorded_id != run.id:
            self._forget(run, None)
            return await self._join(recorded_id)
        self._begin(run)
        await asyncio.shield(run.started)
        return run.id

    async def read_schema(self, command: ReadSchema) -> tuple[int, FinishedRun | None]:
        """Run a contract's `#get-schema` to its end; its id, and how it ended.

        Whoever is cancelled in here ends the run. Raises what `start_run` does.
        """
        beginning = asyncio.create_task(self._begin_schema_run(command))
        try:
            run = await asyncio.shield(beginning)
            await asyncio.shield(run.started)
            return run.id, await asyncio.shield(run.finished)
        except asyncio.CancelledError:
            beginning.add_done_callback(self._abandon)
            raise

    async def get_run(self, run_id: int, wait: float, with_outputs: bool) -> FinishedRun | None:
        """A finished run; None when it is unknown or does not finish within `wait` seconds."""
        run = self._runs.get(run_id)
        if run is None:
            return await self._store.reads.finished(run_id, with_outputs)
        if not wait > 0:
            return None
        done, _ = await asyncio.wait({run.finished}, timeout=min(wait, MAX_WAIT))
        finished = run.finished.result() if done else None
        return finished if finished is None or with_outputs else without_outputs(finished)

    async def read_artifact(self, wanted: ReadArtifact) -> ArtifactPart:
        """A part of a run's output: of all that is kept, or by now. Raises `RunNotFound`."""
        length = min(wanted.max_len, MAX_ARTIFACT_PART)
        if run := self._runs.get(wanted.id):
            return run.part(wanted.field, wanted.offset, length)
        part = await self._store.reads.artifact(wanted.id, wanted.field, wanted.offset, length)
        if part is None:
            raise RunNotFound(f"GenVM with id {wanted.id} not found")
        return part

    async def cancel_run(self, run_id: int, grace: float) -> None:
        """End a run and wait for its end. Raises `RunNotFound`, `ShutdownTimeout`, or `Unavailable`
        when its end could not be recorded."""
        run = self._runs.get(run_id)
        if run is None:
            if not await self._store.reads.is_retained(run_id):
                raise RunNotFound(f"GenVM with id {run_id} not found")
            return
        grace = min(grace, MAX_GRACE) if grace > 0 else 0.0
        self.life.stop(run, Cause.CANCELLED, grace)
        for timeout in (grace + _RECORD_TIMEOUT, KILL_TIMEOUT):
            done, _ = await asyncio.wait({run.finished}, timeout=timeout)
            if done:
                return
            if run.unrecorded is not None:
                raise Unavailable(f"GenVM with id {run_id} has ended, but {run.unrecorded}", 5)
        raise ShutdownTimeout("timeout during shutdown")

    async def _begin_schema_run(self, command: ReadSchema) -> Run:
        self._require_open()
        request = schema_run(command, self.controls.settings.schema_deadline)
        run = self._queue(request, CodeStorage(CONTRACT, command.code))
        await self._accept(run)
        self._begin(run)
        return run

    def _abandon(self, beginning: asyncio.Task[Run]) -> None:
        """Nobody wants to know any more."""
        if not beginning.cancelled() and beginning.exception() is None:
            self.life.stop(beginning.result(), Cause.CANCELLED, 0, "its client went away")

    def _require_open(self) -> None:
        self.controls.require_staying()
        if self._state_fault is not None:
            raise Unavailable(self._state_fault, 5, Refusal.STORE)
        failure = self._store.failure
        if failure and (self._store.is_damaged or any(run.unrecorded for run in self.runs)):
            raise Unavailable(failure, 5, Refusal.STORE)

    def _queue(self, request: StartRun, storage: CodeStorage | None = None) -> Run:
        """A new run with the next id, at the end of the queue. With `storage` we are its host."""
        executor = self.controls.settings.manifests.current.choose(
            request.selector, request.timestamp
        )
        self.modules.require(request.modules)
        cost = self._desk.cost(request.needs_modules)
        self._last_id += 1
        self.controls.remember_id(self._last_id)
        run = Run(self._last_id, request, executor, cost, storage)
        self._desk.queue(run)
        self._runs[run.id] = run
        self.changes.note()
        acceptor = asyncio.current_task()
        assert acceptor is not None
        self._acceptors[run.id] = acceptor
        return run

    async def _accept(self, run: Run) -> int:
        """Record the intent; gives the id on record, another one for a token that is retained."""
        try:
            return await self._store.accept(
                Accepted(
                    id=run.id,
                    token=run.request.token,
                    accepted_at=run.accepted_at,
                    version=run.executor.version,
                    deadline=run.request.deadline,
                )
            )
        except StoreFailed as error:
            self._forget(run, None)
            self._log.error("run_not_accepted", run=run.id, error=str(error))
            raise Unavailable(str(error), 5, Refusal.STORE) from None

    async def _join(self, run_id: int) -> int:
        """Wait until the run that has our token already is started, or share its failure."""
        run = self._runs.get(run_id)
        if run is not None:
            await asyncio.shield(run.started)
        return run_id

    def _begin(self, run: Run) -> None:
        self._log.info("run_queued", run=run.id, host=run.request.host or None)
        self._lives[run.id] = asyncio.create_task(self._live(run), name=f"run {run.id}")
        del self._acceptors[run.id]
        self._audit_soon()

    async def _live(self, run: Run) -> None:
        finished = None
        try:
            finished = await self.life.live(run)
        except asyncio.CancelledError:
            self._log.error("run_lost", run=run.id, cause=run.cause)
        except Exception:
            self._log.failure("run_life_failed", run=run.id)
            self.life.stop(run, Cause.LOST, 0)
        self._forget(run, finished)

    def _forget(self, run: Run, finished: FinishedRun | None) -> None:
        """The run is over or never was: let go of it and tell those who wait."""
        del self._runs[run.id]
        self._lives.pop(run.id, None)
        self._acceptors.pop(run.id, None)
        self.changes.note()
        self._audit_soon()
        if self._desk.give_back(run) and finished is not None:
            self._log.error("permits_were_kept", run=run.id)
        if finished is not None:
            self.history.add(run.summary(finished))
        # They refer to each other: their output would stay until the garbage collector comes.
        run.child = None
        if not run.started.done():
            run.started.set_exception(ManagerError(f"run {run.id} was lost; the log says why"))
        run.started.exception()
        run.finished.set_result(finished)

    # ------------------------------------------------------------------------------ the whole house

    def status(self) -> Status:
        """What is going on; needs no look into the store."""
        return Status(
            revision=self.changes.revision,
            refusal=self._refusal,
            modules=self.modules.status(),
            permits=self._desk.counts(),
            under_way=[run.execution() for run in self._runs.values()],
            finished=self.history.packed,
            executions_omitted=self.history.omitted(self._store.retained_runs),
            sampled_at=None if self._sampled_at is None else utc(self._sampled_at),
            audit=self._auditor.sentences,
        )

    def audit(self) -> None:
        """Hold the books against each other; `status` tells what was found."""
        if self._audit_timer is not None:
            self._audit_timer.cancel()
            self._audit_timer = None
        lives = {**self._acceptors, **self._lives}
        self._auditor.look(self.runs, lives, self._last_id, self._state_fault)
        health = (self._refusal, self._auditor.sentences)
        if health != self._health:
            self._health = health
            self.changes.note()

    def tell_state_fault(self, fault: str | None) -> None:
        """Nothing can be kept in the state folder, and why; None: it can."""
        if fault != self._state_fault:
            self._state_fault = fault
            self.audit()

    def note_samples(self) -> None:
        """All executors have been looked at."""
        self._sampled_at = time.monotonic()
        self.changes.note()

    @property
    def _refusal(self) -> str | None:
        """Why no run is taken now, if so."""
        if self.controls.is_closed:
            return SHUTTING_DOWN
        return self._state_fault or self._store.failure

    def _audit_soon(self) -> None:
        if self._audit_timer is None:
            loop = asyncio.get_running_loop()
            self._audit_timer = loop.call_later(_AUDIT_AFTER, self.audit)

    def permits(self) -> Permits:
        return self._desk.counts()

    def set_permits(self, total: int) -> Permits:
        """Change the total. Raises `BadRequest` below the cost of the dearest run."""
        self._desk.resize(total)
        self.changes.note()
        self._audit_soon()
        self.controls.remember_permits(total)
        self._log.info("permits_set", total=total)
        return self._desk.counts()

    async def drain(self, timeout: float) -> None:
        """Take no more runs, send the queue home, give the others `timeout` seconds to finish."""
        self.controls.close()
        self.changes.note()
        for run in list(self._runs.values()):
            if run.child is None:
                self.life.stop(run, Cause.SHUTDOWN, 0)
        await self._wait_for_all(timeout)

    async def end_all(self, grace: float) -> None:
        """End what still runs, by the ladder with `grace` in seconds, and record it.

        The modules that served it end last.
        """
        for run in list(self._runs.values()):
            self.life.stop(run, Cause.SHUTDOWN, grace)
        await self._wait_for_all(grace + _RECORD_TIMEOUT)
        self._give_up([run for run in self._runs.values() if run.unrecorded])
        await self._wait_for_all(KILL_TIMEOUT)
        self._give_up(self._runs.values())
        await self._wait_for_all(1.0)
        await self.modules.stop()

    def _give_up(self, runs: Iterable[Run]) -> None:
        for run in list(runs):
            if run.id in self._lives:
                self._lives[run.id].cancel()

    async def _wait_for_all(self, timeout: float) -> None:
        ends = [run.finished for run in self._runs.values()]
        if ends:
            await asyncio.wait(ends, timeout=timeout)

"""What clients do with runs: start, read, cancel. Also how all runs end with the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from genvm_manager.base.errors import (
    ManagerError,
    Refusal,
    RunNotFound,
    ShutdownTimeout,
    Unavailable,
)
from genvm_manager.base.process.killing import KILL_TIMEOUT
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.protocol.ipc.commands import (
    CancelRun,
    GetRun,
    ReadArtifact,
    ReadSchema,
    StartRun,
)
from genvm_manager.protocol.ipc.replies import ArtifactPart, RunCancelled, RunStarted, RunStatus
from genvm_manager.protocol.ipc.runs import (
    MAX_ARTIFACT_PART,
    Cause,
    FinishedRun,
    without_outputs,
)
from genvm_manager.protocol.limits import MAX_WAIT
from genvm_manager.supervisor.runs.code_host import CodeStorage
from genvm_manager.supervisor.runs.lifecycle import RunLifecycle
from genvm_manager.supervisor.runs.rules_admission import AdmissionPolicy, admit
from genvm_manager.supervisor.runs.rules_schema_run import CONTRACT, schema_run
from genvm_manager.supervisor.runs.rules_states import NOT_LAUNCHED
from genvm_manager.supervisor.runs.run import Run
from genvm_manager.supervisor.store.failure import StoreFailed
from genvm_manager.supervisor.store.writes import Accepted
from genvm_manager.supervisor.telemetry.state_metrics import StateMetrics

from .controls import Controls
from .health import Health

MAX_GRACE = 24 * 3600.0

_RECORD_TIMEOUT = 3.0
"""Seconds for recording an end, in addition to those for the end itself."""


class Service:
    """Carries out the commands on runs. All of it runs on one event loop."""

    def __init__(
        self,
        life: RunLifecycle,
        controls: Controls,
    ) -> None:
        self.life = life
        self.runs = life.runs
        self.modules = life.modules
        self.metrics = life.metrics
        self.controls = controls
        self.health = Health(life, controls)
        self.metrics.add(StateMetrics(self.health.status))
        self._store = life.store
        self._log = life.log

    # ---------------------------------------------------------------------------------- commands

    async def start_run(self, command: StartRun) -> RunStarted:
        """Start a run, and return its id once its executor runs.

        For a token that is retained, return the id of its run. Raise `BadRequest`, `Unavailable` or
        a `RequestFailed`; a run that fails to start leaves nothing behind.
        """
        with self.metrics.counting_refusals():
            config = self.controls.settings.config
            extra_args = frozenset(config.allowed_extra_args)
            admit(command, AdmissionPolicy(extra_args, config.allow_unsafe_debug))
            await self.modules.require_other(command.host)
            self.health.require_accepting()
            run = self._accept(command)
            recorded_id = await self._record_intent(run)
            if recorded_id != run.id:
                self._remove(run, None)
                return await self._join(recorded_id)
            self._begin(run)
            await asyncio.shield(run.started)
            return RunStarted(run.id)

    async def read_schema(self, command: ReadSchema) -> RunStatus:
        """Run a contract's `#get-schema` to its end.

        Cancelling the caller ends the run. Raise what `start_run` does.
        """
        with self.metrics.counting_refusals():
            beginning = asyncio.create_task(self._begin_schema_run(command))
            try:
                run = await asyncio.shield(beginning)
                await asyncio.shield(run.started)
                return RunStatus(run.id, await asyncio.shield(run.finished))
            except asyncio.CancelledError:
                beginning.add_done_callback(self._abandon)
                raise

    async def get_run(self, command: GetRun) -> RunStatus:
        """Return a finished run, or none if it is unknown or does not finish within the wait."""
        run = self.runs.get(command.id)
        if run is None:
            kept = await self._store.reads.finished(command.id, command.with_outputs)
            return RunStatus(command.id, kept)
        if not command.wait > 0:
            return RunStatus(command.id, None)
        done, _ = await asyncio.wait({run.finished}, timeout=min(command.wait, MAX_WAIT))
        finished = run.finished.result() if done else None
        if finished is not None and not command.with_outputs:
            finished = without_outputs(finished)
        return RunStatus(command.id, finished)

    async def read_artifact(self, command: ReadArtifact) -> ArtifactPart:
        """Return a part of what is kept of a run's output by now. Raise `RunNotFound`."""
        length = min(command.max_len, MAX_ARTIFACT_PART)
        if run := self.runs.get(command.id):
            return run.part(command.field, command.offset, length)
        reads = self._store.reads
        part = await reads.artifact(command.id, command.field, command.offset, length)
        if part is None:
            raise RunNotFound(f"GenVM with id {command.id} not found")
        return part

    async def cancel_run(self, command: CancelRun) -> RunCancelled:
        """End a run and wait for its end.

        Raise `RunNotFound`, `ShutdownTimeout`, or `Unavailable` when its end could not be recorded.
        """
        run = self.runs.get(command.id)
        if run is None:
            if not await self._store.reads.is_retained(command.id):
                raise RunNotFound(f"GenVM with id {command.id} not found")
            return RunCancelled(command.id)
        grace = min(command.grace, MAX_GRACE) if command.grace > 0 else 0.0
        self.life.stop(run, Cause.CANCELLED, grace)
        for timeout in (grace + _RECORD_TIMEOUT, KILL_TIMEOUT):
            done, _ = await asyncio.wait({run.finished}, timeout=timeout)
            if done:
                return RunCancelled(command.id)
            if run.unrecorded is not None:
                raise Unavailable(f"GenVM with id {run.id} has ended, but {run.unrecorded}", 5)
        raise ShutdownTimeout("timeout during shutdown")

    # ------------------------------------------------------------------------- from start to end

    def _accept(self, request: StartRun, storage: CodeStorage | None = None) -> Run:
        """Put a new run at the end of the queue. With `storage` the supervisor is its host."""
        executor = self.controls.settings.manifests.current.choose(
            request.selector, request.timestamp
        )
        self.modules.require(request.modules)
        cost = self.runs.queue.cost(request.needs_modules)
        run = Run(self.runs.next_id(), request, executor, cost, storage)
        run.acceptor = asyncio.current_task()
        self.controls.remember_id(run.id)
        self.runs.add(run)
        return run

    async def _record_intent(self, run: Run) -> int:
        """Record the run before anything is done. Return the id on record.

        That is the id of another run if the token is that run's, and is retained.
        """
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
            self._remove(run, None)
            self._log.error("run_not_accepted", run=run.id, error=str(error))
            raise Unavailable(str(error), 5, Refusal.STORE) from None

    async def _join(self, run_id: int) -> RunStarted:
        """Wait until the run that has the token is started, or raise what its start raises."""
        run = self.runs.get(run_id)
        if run is not None:
            await asyncio.shield(run.started)
        return RunStarted(run_id)

    async def _begin_schema_run(self, command: ReadSchema) -> Run:
        self.health.require_accepting()
        deadline = parse_duration(self.controls.settings.config.schema_deadline)
        request = schema_run(command, deadline)
        run = self._accept(request, CodeStorage(CONTRACT, command.code))
        await self._record_intent(run)
        self._begin(run)
        return run

    def _abandon(self, beginning: asyncio.Task[Run]) -> None:
        """End a run that nobody waits for any more."""
        if not beginning.cancelled() and beginning.exception() is None:
            self.life.stop(beginning.result(), Cause.CANCELLED, 0, "its client went away")

    def _begin(self, run: Run) -> None:
        self._log.info("run_queued", run=run.id, host=run.request.host or None)
        run.life = asyncio.create_task(self._live(run), name=f"run {run.id}")

    async def _live(self, run: Run) -> None:
        finished = None
        try:
            finished = await self.life.execute(run)
        except asyncio.CancelledError:
            self._log.error("run_lost", run=run.id, cause=run.cause)
        except Exception:
            self._log.failure("run_life_failed", run=run.id)
            self.life.stop(run, Cause.LOST, 0)
        self._remove(run, finished)

    def _remove(self, run: Run, finished: FinishedRun | None) -> None:
        """Let go of a run that is over or that never was, and wake those who wait for it."""
        self.runs.remove(run)
        if finished is not None:
            self.health.history.add(run.summary(finished))
        # Run and child refer to each other: the output would stay until the garbage collector runs.
        run.child = None
        run.tell_not_started(ManagerError(f"run {run.id} was lost; the log says why"))
        run.finished.set_result(finished)

    # ---------------------------------------------------------------------------------- shutdown

    async def drain(self, timeout: float) -> None:
        """Accept no more runs, withdraw those that wait, give the others `timeout` s to finish."""
        self.controls.close()
        self.life.version.advance()
        for run in self.runs:
            if run.state in NOT_LAUNCHED:
                self.life.stop(run, Cause.SHUTDOWN, 0)
        await self._wait_for_all(timeout)

    async def end_all(self, grace: float) -> None:
        """End and record the runs that are left, SIGKILL after `grace` s, then stop the modules."""
        for run in self.runs:
            self.life.stop(run, Cause.SHUTDOWN, grace)
        await self._wait_for_all(grace + _RECORD_TIMEOUT)
        self._give_up(run for run in self.runs if run.unrecorded)
        await self._wait_for_all(KILL_TIMEOUT)
        self._give_up(self.runs)
        await self._wait_for_all(1.0)
        await self.modules.stop()

    def _give_up(self, runs: Iterable[Run]) -> None:
        for run in runs:
            if run.life is not None:
                run.life.cancel()

    async def _wait_for_all(self, timeout: float) -> None:
        ends = [run.finished for run in self.runs]
        if ends:
            await asyncio.wait(ends, timeout=timeout)

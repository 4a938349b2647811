"""What happens to one run, from its admission to its end on record.

Source: docs/spec/03-run-request.md#life.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from signal import Signals

from genvm_manager.base.errors import ManagerError, Refusal, RequestFailed, Unavailable
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.process.identity import start_ticks
from genvm_manager.base.process.on_event_loop import begin_stop
from genvm_manager.base.process.stop_sequence import stop_sequence
from genvm_manager.base.wall_clock import utc
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.ipc.runs import Cause, Exit, FinishedRun
from genvm_manager.protocol.run_end import describe_run_end
from genvm_manager.supervisor.cgroups.memory import MemoryUse
from genvm_manager.supervisor.modules.modules import Modules
from genvm_manager.supervisor.store.failure import StoreFailed
from genvm_manager.supervisor.store.store import RunStore
from genvm_manager.supervisor.store.writes import Arrived, Launched
from genvm_manager.supervisor.telemetry.metrics import Metrics
from genvm_manager.supervisor.telemetry.version import StatusVersion

from .child import Child, Output
from .code_host import CodeHost
from .launcher import Launcher, LaunchOrder
from .reaper import Ending, Reaper
from .rules_capture import LIMITS
from .rules_states import State
from .run import Run
from .run_table import RunTable
from .sampler import OomMonitor
from .scratch import Scratch

_RETRY_RECORD = 1.0
"""Seconds between two attempts to record an end that the store refuses."""

_SETTLE_AFTER = 0.05
"""Seconds until a run's process is recorded and put into a cgroup. One that ends sooner needs
neither: if the supervisor is killed in that time, its successor finds the process by its token."""


@dataclass(frozen=True, slots=True)
class RunLifecycle:
    """Takes runs through their states, and has what they need on the way."""

    store: RunStore
    launcher: Launcher
    reaper: Reaper
    runs: RunTable
    scratch: Scratch
    oom_monitor: OomMonitor
    modules: Modules
    metrics: Metrics
    version: StatusVersion
    log: EventLog

    async def execute(self, run: Run) -> FinishedRun | None:
        """Wait for permits, launch, wait for the end and record it. Return what was recorded.

        Return None for a run that was withdrawn, since it never started; those who wait for its
        start are told why.
        """
        await run.ready.wait()
        if run.cause is Cause.SHUTDOWN:
            stopping = "the supervisor is shutting down"
            await self._withdraw(run, Unavailable(stopping, reason=Refusal.SHUTTING_DOWN))
            return None
        if run.cause is not None:
            return await self._end_unstarted(run)
        try:
            child = self._launch(run)
        except ManagerError as error:
            self.metrics.start_failed()
            await self._withdraw(run, error)
            return None
        running_since = time.monotonic()
        self.metrics.started(run.granted_at - run.arrival, running_since - run.granted_at)
        run.tell_started()
        ending = await child.ended()
        self.runs.move(run, State.ENDING)
        output = await child.output()
        self.metrics.ended(time.monotonic() - running_since)
        run.drop_timers()
        await self._clean_up(run)
        return await self._record(run, self._finished(run, ending, output))

    def stop(self, run: Run, cause: Cause, grace: float, reason: str | None = None) -> None:
        """Have a run end: before its launch at once, else by the stop sequence.

        The first cause stays. A second stop can only shorten the first.
        """
        if run.cause is None:
            run.cause, run.reason = cause, reason
            self.log.info("run_stopping", run=run.id, cause=cause.value, grace=grace)
        run.ready.set()
        if run.state is not State.RUNNING:
            return
        assert run.child is not None
        run.timers += begin_stop(stop_sequence(grace), run.child.signal)

    def _later(self, run: Run, delay: float, act: Callable[..., None], *arguments: object) -> None:
        run.timers.append(asyncio.get_running_loop().call_later(delay, act, *arguments))

    def _launch(self, run: Run) -> Child:
        self.runs.move(run, State.STARTING)
        request = run.request
        run.scratch = self._make_scratch()
        order = LaunchOrder(
            run_id=run.id,
            command=run.executor.command,
            token=f"{self.store.instance}.{run.id}",
            scratch=run.scratch,
            execution_data=request.execution_data,
            limits=LIMITS[request.capture],
            extra_args=request.extra_args,
            is_sync=request.is_sync,
            host=request.host if run.storage is None else self._serve_host(run),
            permissions=request.permissions,
            modules=self._connect_modules(request.modules),
        )
        keep = partial(self._keep_result, run)
        run.child = Child(self.launcher.launch(order), order, self.reaper, keep, self.log)
        run.forget_execution_data()
        run.launched = time.monotonic()
        self.runs.move(run, State.RUNNING)
        self._later(run, request.deadline, self._out_of_time, run)
        self._later(run, _SETTLE_AFTER, self._settle_in, run)
        self.log.info(
            "run_running", run=run.id, pid=run.child.pid, version=run.executor.version,
            waited=run.launched - run.arrival,
        )  # fmt: skip
        return run.child

    def _make_scratch(self) -> str:
        try:
            return self.scratch.acquire()
        except OSError as error:
            raise _start_failure("no folder for temporary files can be made", error) from None

    def _connect_modules(self, wanted: Sequence[ModuleKind]) -> Mapping[ModuleKind, socket.socket]:
        try:
            return self.modules.connect(wanted)
        except OSError as error:
            raise _start_failure("it cannot be connected to the modules", error) from None

    def _serve_host(self, run: Run) -> str:
        """Serve the host of a run that has no node. Return its address."""
        assert run.scratch is not None and run.storage is not None
        try:
            run.host = CodeHost(run.scratch, run.storage, run.id, self.log)
        except OSError as error:
            raise _start_failure("its host cannot be served", error) from None
        return run.host.address

    async def _clean_up(self, run: Run) -> None:
        """Give back what the run had, except its permits and its record."""
        if run.host is not None:
            await run.host.close()
        if run.scratch is not None:
            await self.scratch.release(run.scratch)

    def _out_of_time(self, run: Run) -> None:
        self.stop(run, Cause.DEADLINE, 0, f"ran longer than {run.request.deadline:g} s")

    def _keep_result(self, run: Run, result: bytes) -> asyncio.Future[None]:
        return self.store.keep_result(Arrived(run.id, run.started_at, result))

    def _settle_in(self, run: Run) -> None:
        """Record an executor that has lasted for a moment, and put it into a cgroup."""
        assert run.child is not None and run.started_at is not None
        pid = run.child.pid
        self.reaper.attach(pid, run.id)
        noted = asyncio.ensure_future(
            self.store.launch(Launched(run.id, pid, start_ticks(pid), run.started_at))
        )
        noted.add_done_callback(lambda done: self._launch_noted(run, done))

    def _launch_noted(self, run: Run, noted: asyncio.Future[None]) -> None:
        if not noted.cancelled() and (error := noted.exception()):
            self.log.warning("launch_not_recorded", run=run.id, error=str(error))

    async def _withdraw(self, run: Run, error: ManagerError) -> None:
        """Undo a start that failed, then tell those who wait for it."""
        await self._clean_up(run)
        self.runs.move(run, State.WITHDRAWN)
        try:
            await self.store.withdraw(run.id)
        except StoreFailed as failure:
            # It stays in the store without an end: the next supervisor will find it lost.
            self.log.error("run_not_withdrawn", run=run.id, error=str(failure))
        self.log.warning("run_withdrawn", run=run.id, reason=error.message)
        run.tell_not_started(error)

    async def _end_unstarted(self, run: Run) -> FinishedRun:
        finished = await self._record(run, self._finished(run, None, Output()))
        run.tell_not_started(RequestFailed(f"run {run.id} was cancelled before it started"))
        return finished

    async def _record(self, run: Run, finished: FinishedRun) -> FinishedRun:
        """Record the end, trying again until the store takes it: nobody is told before that."""
        while True:
            try:
                await self.store.finish(finished)
                break
            except StoreFailed as error:
                if run.unrecorded is None:
                    self.log.error("run_end_not_recorded", run=run.id, error=str(error))
                run.unrecorded = str(error)
                await asyncio.sleep(_RETRY_RECORD)
        self.runs.move(run, State.FINISHED)
        self.metrics.finished(finished)
        self.log.info(
            "run_finished", run=run.id, end=describe_run_end(finished.cause, finished.exit),
            cause=finished.cause.value, code=finished.exit.code,
            signal=finished.exit.signal, result=finished.result is not None,
            seconds=finished.finished_at - (finished.started_at or finished.accepted_at),
        )  # fmt: skip
        return finished

    def _finished(self, run: Run, ending: Ending | None, output: Output) -> FinishedRun:
        cause, reason = self._cause(run, ending)
        peak = max(run.peak_rss, _peak(ending) if ending else 0)
        return FinishedRun(
            id=run.id,
            version=run.executor.version,
            cause=cause,
            exit=ending.exit if ending else Exit(),
            reason=reason,
            accepted_at=run.accepted_at,
            started_at=run.started_at,
            finished_at=utc(time.monotonic()),
            stdout=output.stdout,
            stderr=output.stderr,
            genvm_log=output.genvm_log,
            result=output.result,
            stdout_dropped=output.stdout_dropped,
            stderr_dropped=output.stderr_dropped,
            log_dropped=output.log_dropped,
            log_dropped_bytes=output.log_dropped_bytes,
            contract_error=output.contract_error,
            peak_rss=peak or None,
            cpu_seconds=ending.cpu_seconds if ending else None,
        )

    def _cause(self, run: Run, ending: Ending | None) -> tuple[Cause, str | None]:
        if run.cause is not None:
            return run.cause, run.reason
        if ending is not None and ending.exit.signal == Signals.SIGKILL:
            return self._cause_of_kill(ending.memory)
        return Cause.EXITED, None

    def _cause_of_kill(self, memory: MemoryUse | None) -> tuple[Cause, str | None]:
        """Return the cause of a SIGKILL that the supervisor did not send.

        The run's cgroup knows whether it was for want of memory; without one it is a guess.
        """
        if memory is None:
            if self.oom_monitor.has_killed():
                return Cause.MEMORY, "the kernel killed it for want of memory"
        elif memory.oom_kills:
            reason = f"the kernel killed it for want of memory, the limit is {memory.limit}"
            return Cause.MEMORY, reason
        return Cause.EXITED, None


def _start_failure(what: str, error: OSError) -> ManagerError:
    """Return what to raise for a run that could not be started for want of something."""
    message = f"{what}: {error.strerror}"
    return Unavailable(message, 2) if is_exhaustion(error) else RequestFailed(message)


def _peak(ending: Ending) -> int:
    return max(ending.max_rss or 0, (ending.memory.peak or 0) if ending.memory else 0)

"""One module's life (docs/spec/01-http-api.md#modules).

At most one pool of workers serves; beside it, one may be starting, and others may be retiring.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping

from genvm_manager.base.errors import (
    BadRequest,
    ManagerError,
    ModuleAlreadyRunning,
    ModulesNotRunning,
    RequestFailed,
)
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.transitions import advanced
from genvm_manager.base.wall_clock import utc
from genvm_manager.protocol.ipc.commands import StartModule
from genvm_manager.protocol.ipc.modules import ModuleKind, ModuleState, ModuleStatus, ModuleWorker
from genvm_manager.supervisor.runs.sampler import Sample
from genvm_manager.supervisor.telemetry.version import StatusVersion
from genvm_manager.workers.pool import Pool

from .pool_factory import PoolFactory
from .rules_states import ALLOWED

_NOT_RUNNING = "modules are required but not running (is_sync=false with 'n' permission)"
"""Clients look for the first seven words (docs/spec/03-run-request.md#the-request)."""


def not_running(states: Mapping[ModuleKind, ModuleState]) -> str:
    """Return why a run is refused: the states of those that it needs and that do not run."""
    shown = " and ".join(f"the {kind} module is {state}" for kind, state in states.items())
    them = "it" if len(states) == 1 else "them"
    step = f"start {them} by POST /module/start, or name in `modules` those that the run needs"
    return f"{_NOT_RUNNING}: {shown}; {step}"


class Module:
    """Starts, replaces and stops the module, and connects runs to it."""

    def __init__(
        self,
        kind: ModuleKind,
        factory: PoolFactory,
        drain_timeout: float,
        version: StatusVersion,
        log: EventLog,
    ) -> None:
        """Have a stop wait up to `drain_timeout` seconds for the runs that are connected."""
        self.kind = kind
        self.state = ModuleState.STOPPED
        self._factory = factory
        self._drain_timeout = drain_timeout
        self._version = version
        self._log = log
        self._reason: str | None = None
        self._since = time.monotonic()
        self._serving: Pool | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._is_hurried = False
        self._retiring: dict[Pool, asyncio.Task[None]] = {}
        self._samples: Mapping[int, Sample] = {}

    # ------------------------------------------------------------------------------ for clients

    async def start(self, order: StartModule) -> None:
        """Start the module, and return when it answers requests.

        Raises `ModuleAlreadyRunning`, `RequestFailed`, or the error for which it does not start; no
        worker is left then.
        """
        if self.state in (ModuleState.STARTING, ModuleState.RUNNING):
            raise ModuleAlreadyRunning
        self._require_settled()
        self._advance(ModuleState.STARTING)
        await self._start_pool(order)
        self._log.info("module_started", module=self.kind, workers=len(self._workers()))

    async def restart(self, order: StartModule) -> None:
        """Replace the pool, and return when the new one serves.

        The old one serves until then, and goes on when the new one does not start. Raises as
        `start` does.
        """
        if self.state in (ModuleState.STOPPED, ModuleState.FAILED):
            await self.start(order)
            return
        self._require_settled()
        await self._start_pool(order)
        self._log.info("module_restarted", module=self.kind, workers=len(self._workers()))

    async def reload(self, order: StartModule) -> None:
        """Replace the pool that runs by `order` if the file of its configuration has changed.

        A module that does not run, or that has a configuration of a client, stays as it is. Raises
        as `restart` does; the old pool serves on then.
        """
        if self.state is ModuleState.RUNNING and await self._factory.is_outdated(order):
            await self.restart(order)

    async def stop(self, *, hurried: bool = False) -> bool:
        """Stop the module, and return when nothing is left of it; False when nothing ran.

        Runs that are connected have the drain time to end, unless `hurried`. A second stop hurries
        the first.
        """
        if self.state is ModuleState.STOPPED and not self._retiring:
            return False
        if hurried or self._stopping is not None:
            self._is_hurried = True
            self._hurry()
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"stop of {self.kind}")
        await asyncio.shield(self._stopping)
        return True

    # ------------------------------------------------------------------ called by the supervisor

    def connect(self) -> socket.socket:
        """Return a connection for a run, which the caller has to close.

        Raises `ModulesNotRunning`, or `OSError` when there are no descriptors.
        """
        if self.state is not ModuleState.RUNNING or self._serving is None:
            raise ModulesNotRunning(not_running({self.kind: self.state}))
        return self._serving.connect()

    @property
    def ports(self) -> set[int]:
        """The ports at which the module listens."""
        listeners = (pool.listener for pool in self._pools())
        return {listener.address.port for listener in listeners if listener is not None}

    @property
    def pids(self) -> list[int]:
        """The pids of all workers, those of retiring pools too."""
        views = (view for pool in self._pools() for view in pool.workers)
        return [view.pid for view in views if view.pid is not None]

    def observe(self, samples: Mapping[int, Sample]) -> None:
        """Take over the latest samples of the workers, by pid."""
        self._samples = samples

    def status(self) -> ModuleStatus:
        """Return the module's state as clients see it."""
        return ModuleStatus(
            state=self.state,
            reason=self._reason,
            since=utc(self._since),
            workers=self._workers(),
            retiring=sum(pool.sessions for pool in self._retiring),
        )

    # ------------------------------------------------------------------------------------ inside

    async def _start_pool(self, order: StartModule) -> None:
        """Have a new pool serve, unless a stop cancels that."""
        self._starting = asyncio.create_task(self._replace(order), name=f"start of {self.kind}")
        await asyncio.wait({self._starting})
        starting, self._starting = self._starting, None
        if self.state is ModuleState.FAILED:
            self._release_failed()
        if starting.cancelled():
            raise RequestFailed(f"the {self.kind} module was stopped while it started")
        starting.result()

    async def _replace(self, order: StartModule) -> None:
        before = self._serving
        try:
            self._serving = await self._factory.start(order, self._pool_failed, before)
        except BaseException as error:
            if self.state is ModuleState.STARTING:
                self._did_not_start(error)
            raise
        if self.state is not ModuleState.RUNNING:
            self._advance(ModuleState.RUNNING)
        self._reason = self._serving.shortage
        self._version.advance()
        if before is not None:
            # Pools that were replaced earlier have had time to drain.
            self._hurry()
            self._retire(before, self._drain_timeout)

    def _did_not_start(self, error: BaseException) -> None:
        self._advance(ModuleState.STOPPED)
        if isinstance(error, ManagerError):
            self._reason = error.message
        if isinstance(error, ManagerError) and not isinstance(error, BadRequest):
            self._log.error("module_start_failed", module=self.kind, reason=error.message)

    def _pool_failed(self, pool: Pool, reason: str) -> None:
        """Fail when the last worker of the serving pool was given up."""
        if pool is not self._serving or self.state is not ModuleState.RUNNING:
            return
        self._fail(reason)
        if self._starting is None:
            self._release_failed()

    def _release_failed(self) -> None:
        """Stop a pool that has failed."""
        if self._serving is not None:
            failed, self._serving = self._serving, None
            self._retire(failed, 0)

    async def _stop(self) -> None:
        try:
            if self._starting is not None:
                self._starting.cancel()
                await asyncio.wait({self._starting})
            if self.state is ModuleState.RUNNING:
                self._advance(ModuleState.STOPPING)
            if self._serving is not None:
                serving, self._serving = self._serving, None
                self._retire(serving, 0 if self._is_hurried else self._drain_timeout)
            while self._retiring:
                await asyncio.wait(self._retiring.values())
            if self.state is not ModuleState.STOPPED:
                self._advance(ModuleState.STOPPED)
            self._log.info("module_stopped", module=self.kind)
        finally:
            self._stopping = None
            self._is_hurried = False

    def _retire(self, pool: Pool, timeout: float) -> None:
        task = asyncio.create_task(pool.retire(timeout, self._serving), name=f"end of {self.kind}")
        self._retiring[pool] = task
        task.add_done_callback(lambda done: self._retired(pool, done))

    def _retired(self, pool: Pool, task: asyncio.Task[None]) -> None:
        del self._retiring[pool]
        self._version.advance()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("module_end_failed", module=self.kind, error=repr(error))

    def _hurry(self) -> None:
        for pool in self._retiring:
            pool.hurry()

    def _require_settled(self) -> None:
        if self._stopping is not None:
            raise RequestFailed(f"the {self.kind} module is stopping; try again when it is stopped")
        if self._starting is not None:
            raise RequestFailed(f"the {self.kind} module is starting; try again when it runs")

    def _pools(self) -> list[Pool]:
        return [*self._retiring, *([self._serving] if self._serving is not None else [])]

    def _workers(self) -> list[ModuleWorker]:
        if self._serving is None:
            return []
        found = []
        for view in self._serving.workers:
            sample = self._samples.get(view.pid) if view.pid is not None else None
            rss, cpu_seconds = (sample.rss, sample.cpu_seconds) if sample else (None, None)
            found.append(ModuleWorker(view.pid, view.sessions, rss, cpu_seconds))
        return found

    def _fail(self, reason: str) -> None:
        self._advance(ModuleState.FAILED)
        self._reason = reason
        self._log.error("module_failed", module=self.kind, reason=reason)

    def _advance(self, to: ModuleState) -> None:
        self.state = advanced(f"the {self.kind} module", ALLOWED, self.state, to)
        self._version.advance()
        self._reason = None
        self._since = time.monotonic()

"""One module's life (docs/spec/01-http-api.md#modules).

At most one instance serves; beside it, one may be starting, and others may be stopping.
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
    ModuleBusy,
    ModulesNotRunning,
    RequestFailed,
)
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.wall_clock import utc
from genvm_manager.protocol.ipc.commands import StartModule
from genvm_manager.protocol.ipc.modules import ModuleKind, ModuleState, ModuleStatus, ModuleWorker
from genvm_manager.supervisor.runs.sampler import Sample
from genvm_manager.supervisor.telemetry.version import Changes

from .instance import Instance, InstanceMaker
from .rules_states import advanced

_NOT_RUNNING = "modules are required but not running (is_sync=false with 'n' permission)"
"""Clients look for the first seven words (docs/spec/03-run-request.md#the-request)."""


def not_running(states: Mapping[ModuleKind, ModuleState]) -> str:
    """Return why a run is refused: the states of those that it needs and that do not run."""
    shown = " and ".join(f"the {kind} module is {state}" for kind, state in states.items())
    them = "it" if len(states) == 1 else "them"
    step = f"start {them} by POST /module/start, or name in `modules` those that the run needs"
    return f"{_NOT_RUNNING}: {shown}; {step}"


class Module:
    """Starts, replaces and stops the module; lends its connections to runs."""

    def __init__(
        self,
        kind: ModuleKind,
        maker: InstanceMaker,
        drain_timeout: float,
        changes: Changes,
        log: EventLog,
    ) -> None:
        """`drain_timeout`: seconds for which an end waits for the runs that are connected."""
        self.kind = kind
        self.state = ModuleState.STOPPED
        self._maker = maker
        self._drain_timeout = drain_timeout
        self._changes = changes
        self._log = log
        self._reason: str | None = None
        self._since = time.monotonic()
        self._serving: Instance | None = None
        self._coming: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._is_hurried = False
        self._leaving: dict[Instance, asyncio.Task[None]] = {}
        self._samples: Mapping[int, Sample] = {}

    # ---------------------------------------------------------------------- what clients ask for

    async def start(self, order: StartModule) -> None:
        """Returns when the module answers requests.

        Raises `ModuleAlreadyRunning`, `ModuleBusy`, or why it does not start: then nothing runs.
        """
        if self.state in (ModuleState.STARTING, ModuleState.RUNNING):
            raise ModuleAlreadyRunning
        self._require_settled()
        self._advance(ModuleState.STARTING)
        await self._bring(order)
        self._log.info("module_started", module=self.kind, workers=len(self._workers()))

    async def restart(self, order: StartModule) -> None:
        """Returns when a new instance serves; the old one serves until then, and goes on serving
        when the new one does not start. Raises as `start` does."""
        if self.state in (ModuleState.STOPPED, ModuleState.FAILED):
            await self.start(order)
            return
        self._require_settled()
        await self._bring(order)
        self._log.info("module_restarted", module=self.kind, workers=len(self._workers()))

    async def stop(self, *, hurried: bool = False) -> bool:
        """Returns when nothing is left of the module; False when nothing ran.

        Runs that are connected have the drain time to end, unless hurried. A second stop hurries
        the first.
        """
        if self.state is ModuleState.STOPPED and not self._leaving:
            return False
        if hurried or self._stopping is not None:
            self._is_hurried = True
            self._hurry()
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"stop of {self.kind}")
        await asyncio.shield(self._stopping)
        return True

    # ------------------------------------------------------------------------ what the house asks

    def connect(self) -> socket.socket:
        """A run's connection, which the caller has to close. Raises `ModulesNotRunning`."""
        if self.state is not ModuleState.RUNNING or self._serving is None:
            raise ModulesNotRunning(not_running({self.kind: self.state}))
        return self._serving.pool.connect()

    def set_level(self, level: Level) -> None:
        """Have all workers log at another level."""
        for instance in self._instances():
            instance.pool.set_level(level)

    @property
    def ports(self) -> set[int]:
        """At which any of it listens."""
        listeners = (instance.listener for instance in self._instances())
        return {listener.address.port for listener in listeners if listener is not None}

    @property
    def pids(self) -> list[int]:
        """Of all workers, those on their way out as well."""
        pools = (instance.pool for instance in self._instances())
        return [view.pid for pool in pools for view in pool.workers if view.pid is not None]

    def observe(self, samples: Mapping[int, Sample]) -> None:
        """Take in a look at the workers, by pid."""
        self._samples = samples

    def status(self) -> ModuleStatus:
        return ModuleStatus(
            state=self.state,
            reason=self._reason,
            since=utc(self._since),
            workers=self._workers(),
            retiring=sum(instance.pool.sessions for instance in self._leaving),
        )

    # ------------------------------------------------------------------------------------ inside

    async def _bring(self, order: StartModule) -> None:
        """Have a new instance serve, unless a stop calls it off."""
        self._coming = asyncio.create_task(self._replace(order), name=f"start of {self.kind}")
        await asyncio.wait({self._coming})
        coming, self._coming = self._coming, None
        if self.state is ModuleState.FAILED:
            self._drop()
        if coming.cancelled():
            raise RequestFailed(f"the {self.kind} module was stopped while it started")
        coming.result()

    async def _replace(self, order: StartModule) -> None:
        before = self._serving
        try:
            self._serving = await self._maker.open(order, self._gave_up, before)
        except BaseException as error:
            if self.state is ModuleState.STARTING:
                self._did_not_start(error)
            raise
        if self.state is not ModuleState.RUNNING:
            self._advance(ModuleState.RUNNING)
        self._reason = self._serving.pool.shortage
        self._changes.note()
        if before is not None:
            # Those before it have had their time.
            self._hurry()
            self._part_with(before, self._drain_timeout)

    def _did_not_start(self, error: BaseException) -> None:
        self._advance(ModuleState.STOPPED)
        if isinstance(error, ManagerError):
            self._reason = error.message
        if isinstance(error, ManagerError) and not isinstance(error, BadRequest):
            self._log.error("module_start_failed", module=self.kind, reason=error.message)

    def _gave_up(self, instance: Instance, reason: str) -> None:
        """The last worker of an instance has been given up."""
        if instance is not self._serving or self.state is not ModuleState.RUNNING:
            return
        self._fail(reason)
        if self._coming is None:
            self._drop()

    def _drop(self) -> None:
        """Let go of an instance that serves nobody any more."""
        if self._serving is not None:
            dropped, self._serving = self._serving, None
            self._part_with(dropped, 0)

    async def _stop(self) -> None:
        try:
            if self._coming is not None:
                self._coming.cancel()
                await asyncio.wait({self._coming})
            if self.state is ModuleState.RUNNING:
                self._advance(ModuleState.STOPPING)
            if self._serving is not None:
                serving, self._serving = self._serving, None
                self._part_with(serving, 0 if self._is_hurried else self._drain_timeout)
            while self._leaving:
                await asyncio.wait(self._leaving.values())
            if self.state is not ModuleState.STOPPED:
                self._advance(ModuleState.STOPPED)
            self._log.info("module_stopped", module=self.kind)
        finally:
            self._stopping = None
            self._is_hurried = False

    def _part_with(self, instance: Instance, timeout: float) -> None:
        parting = asyncio.create_task(
            instance.part(timeout, self._serving), name=f"end of {self.kind}"
        )
        self._leaving[instance] = parting
        parting.add_done_callback(lambda done: self._parted(instance, done))

    def _parted(self, instance: Instance, parting: asyncio.Task[None]) -> None:
        del self._leaving[instance]
        self._changes.note()
        if not parting.cancelled() and (error := parting.exception()) is not None:
            self._log.error("module_end_failed", module=self.kind, error=repr(error))

    def _hurry(self) -> None:
        for instance in self._leaving:
            instance.pool.hurry()

    def _require_settled(self) -> None:
        if self._stopping is not None:
            raise ModuleBusy(f"the {self.kind} module is stopping; try again when it is stopped")
        if self._coming is not None:
            raise ModuleBusy(f"the {self.kind} module is starting; try again when it runs")

    def _instances(self) -> list[Instance]:
        return [*self._leaving, *([self._serving] if self._serving is not None else [])]

    def _workers(self) -> list[ModuleWorker]:
        if self._serving is None:
            return []
        found = []
        for view in self._serving.pool.workers:
            sample = self._samples.get(view.pid) if view.pid is not None else None
            rss, cpu_seconds = (sample.rss, sample.cpu_seconds) if sample else (None, None)
            found.append(ModuleWorker(view.pid, view.sessions, rss, cpu_seconds))
        return found

    def _fail(self, reason: str) -> None:
        self._advance(ModuleState.FAILED)
        self._reason = reason
        self._log.error("module_failed", module=self.kind, reason=reason)

    def _advance(self, to: ModuleState) -> None:
        self.state = advanced(self.kind, self.state, to)
        self._changes.note()
        self._reason = None
        self._since = time.monotonic()

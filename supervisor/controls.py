"""What clients change while we run, besides runs: modules, variables, the log, the manifest."""

from __future__ import annotations

import asyncio

from genvm_manager.base.errors import BadRequest, ManagerError, Refusal, Unavailable
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.logging.lines import Level
from genvm_manager.protocol.ipc.commands import CheckLlm, RestartModule, StartModule
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.llm_check import CheckRow
from genvm_manager.supervisor.modules.llm_checks import LlmChecks
from genvm_manager.supervisor.modules.modules import Modules
from genvm_manager.supervisor.runs.admission_queue import AdmissionQueue
from genvm_manager.supervisor.settings.handover import Handover
from genvm_manager.supervisor.settings.settings import Settings
from genvm_manager.supervisor.store.last_run_id import RESERVED_AT_ONCE

SHUTTING_DOWN = "the supervisor is shutting down"


class Controls:
    """What handlers of such commands call. What is changed outlives a supervisor that is killed."""

    def __init__(
        self,
        settings: Settings,
        modules: Modules,
        llm_checks: LlmChecks,
        handover: Handover,
        log: EventLog,
    ) -> None:
        self.settings = settings
        self.modules = modules
        self.is_closed = False
        self._llm_checks = llm_checks
        self._handover = handover
        self._log = log
        self._setting_level = asyncio.Lock()
        self._resuming: list[asyncio.Task[None]] = []

    def resume(self, desk: AdmissionQueue) -> None:
        """Put in force what was changed under a supervisor before us; modules start meanwhile."""
        changes = self._handover.changes
        for name, value in changes.variables.items():
            self.settings.environment.set(name, value)
        self._resume_log_level(changes.log_level)
        if changes.permits is not None:
            try:
                desk.resize(changes.permits)
            except BadRequest as error:
                self._log.warning("permits_not_resumed", reason=error.message)
        for order in list(changes.modules.values()):
            self._resuming.append(asyncio.create_task(self._resume(order)))

    def _resume_log_level(self, level: Level | None) -> None:
        """Have every process take `level`, or the configured one when that is None."""
        shared = self.settings.log_level
        try:
            shared.write(level or shared.current)
        except OSError as error:
            self._log.error("log_level_not_shared", reason=error.strerror)
        if level is not None:
            shared.take(level)

    def close(self) -> None:
        """From now on, nothing new is started: we are stopping."""
        self.is_closed = True

    def require_staying(self) -> None:
        """Raises `Unavailable` while we stop."""
        if self.is_closed:
            raise Unavailable(SHUTTING_DOWN, 5, Refusal.SHUTTING_DOWN)

    # ----------------------------------------------------------------------------------- modules

    async def start_module(self, order: StartModule) -> None:
        """Returns when the module answers requests. Raises what `Module.start` does."""
        self.require_staying()
        await self.modules[order.kind].start(order)
        self._remember_module(order)

    async def restart_module(self, order: RestartModule) -> None:
        """Returns when a new one serves. Raises what `Module.restart` does."""
        self.require_staying()
        await self.modules[order.kind].restart(order)
        self._remember_module(order)

    async def stop_module(self, kind: ModuleKind) -> bool:
        """Returns when nothing is left of it; False when nothing ran."""
        if self._handover.changes.modules.pop(kind, None) is not None:
            self._handover.save()
        return await self.modules[kind].stop()

    async def check_llm(self, command: CheckLlm) -> list[CheckRow]:
        """Ask providers whether they work. Raises what `LlmChecks.ask` does."""
        self.require_staying()
        return await self._llm_checks.ask(command.configs, command.prompts)

    # ---------------------------------------------------------------------------------- settings

    def newest_major(self, timestamp: float) -> int:
        """The newest public-ABI major on offer at a time. Raises `NoExecutor`."""
        return self.settings.manifests.current.newest_major(timestamp)

    async def set_log_level(self, level: Level) -> None:
        """Put a level in force in every process of the service.

        Raises `Unavailable` when it cannot be written where all others look for it.
        """
        async with self._setting_level:
            try:
                await asyncio.to_thread(self.settings.log_level.write, level)
            except OSError as error:
                raise Unavailable(f"the log level cannot be shared: {error.strerror}", 5) from None
            self.settings.log_level.take(level)
        self._handover.changes.log_level = level
        self._handover.save()

    async def reload_manifest(self) -> None:
        """Put the manifest on the disk in force, for runs to come. Raises `RequestFailed`."""
        await self.settings.manifests.reload()
        self._log.info("manifest_reloaded")

    def set_env(self, name: str, value: str) -> None:
        """Set what `${ENV[name]}` means. Raises `BadRequest`. The value is never logged."""
        self.settings.environment.set(name, value)
        self._handover.changes.variables[name] = value
        self._handover.save()
        self._log.info("env_var_set", key=name)

    def remember_permits(self, total: int) -> None:
        """The budget was changed to this."""
        self._handover.changes.permits = total
        self._handover.save()

    def remember_id(self, run_id: int) -> None:
        """This id was given to a run. Many are noted at once, ahead of their use."""
        if run_id > self._handover.changes.run_ids:
            self._handover.changes.run_ids = run_id + RESERVED_AT_ONCE
            self._handover.save()

    def _remember_module(self, order: StartModule) -> None:
        started = StartModule(
            order.kind, order.config, order.allow_empty_backends, order.user_error
        )
        self._handover.changes.modules[order.kind] = started
        self._handover.save()

    async def _resume(self, order: StartModule) -> None:
        try:
            await self.modules[order.kind].start(order)
        except ManagerError as error:
            self._log.error("module_not_resumed", module=order.kind, reason=error.message)

"""What clients change at run time: modules, permits, variables, the log level, the manifest."""

from __future__ import annotations

import asyncio

from genvm_manager.base.errors import BadRequest, ManagerError, Refusal, Unavailable
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.settings.reload import (
    SUPERVISOR_RELOADS,
    SUPERVISOR_RESTARTS,
    changed,
    taken_over,
)
from genvm_manager.protocol.ipc.commands import (
    CheckLlm,
    GetNewestMajor,
    RestartModule,
    SetEnv,
    SetLogLevel,
    SetPermits,
    StartModule,
    StopModule,
)
from genvm_manager.protocol.ipc.replies import (
    Done,
    LlmChecked,
    LogLevel,
    ModuleStopped,
    NewestMajor,
)
from genvm_manager.protocol.ipc.status import Permits
from genvm_manager.supervisor.modules.llm_checks import LlmChecks
from genvm_manager.supervisor.runs.lifecycle import RunLifecycle
from genvm_manager.supervisor.settings.handover import Handover
from genvm_manager.supervisor.settings.settings import Settings
from genvm_manager.supervisor.store.last_run_id import RESERVED_AT_ONCE

SHUTTING_DOWN = "the supervisor is shutting down"


class Controls:
    """Carries out these commands. What they change outlives a supervisor that is killed."""

    def __init__(
        self,
        settings: Settings,
        life: RunLifecycle,
        llm_checks: LlmChecks,
        handover: Handover,
    ) -> None:
        self.settings = settings
        self.modules = life.modules
        self.is_closed = False
        self._llm_checks = llm_checks
        self._handover = handover
        self._runs = life.runs
        self._log = life.log
        self._setting_level = asyncio.Lock()
        self._resuming: list[asyncio.Task[None]] = []

    def resume(self) -> None:
        """Apply what was changed under the previous supervisor. Modules start in the background."""
        changes = self._handover.changes
        for name, value in changes.variables.items():
            self.settings.environment.set(name, value)
        self._resume_log_level(changes.log_level)
        if changes.permits is not None:
            try:
                self._runs.resize(changes.permits)
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
        """Start nothing new from now on: the supervisor is stopping."""
        self.is_closed = True

    def require_staying(self) -> None:
        """Raise `Unavailable` while the supervisor stops."""
        if self.is_closed:
            raise Unavailable(SHUTTING_DOWN, 5, Refusal.SHUTTING_DOWN)

    # ----------------------------------------------------------------------------------- modules

    async def start_module(self, order: StartModule) -> Done:
        """Start a module. Return when it answers requests. Raise what `Module.start` does."""
        self.require_staying()
        await self.modules[order.kind].start(order)
        self._remember_module(order)
        return Done()

    async def restart_module(self, order: RestartModule) -> Done:
        """Replace a module. Return when the new one serves. Raise what `Module.restart` does."""
        self.require_staying()
        await self.modules[order.kind].restart(order)
        self._remember_module(order)
        return Done()

    async def stop_module(self, command: StopModule) -> ModuleStopped:
        """Stop a module. Return when none of its processes is left."""
        if self._handover.changes.modules.pop(command.kind, None) is not None:
            self._handover.save()
        return ModuleStopped(await self.modules[command.kind].stop())

    async def check_llm(self, command: CheckLlm) -> LlmChecked:
        """Send prompts to providers. Raise what `LlmChecks.ask` does."""
        self.require_staying()
        return LlmChecked(await self._llm_checks.ask(command.configs, command.prompts))

    # ---------------------------------------------------------------------------------- settings

    def newest_major(self, command: GetNewestMajor) -> NewestMajor:
        """Return the newest public-ABI major on offer at a time. Raise `RequestFailed`."""
        return NewestMajor(self.settings.manifests.current.newest_major(command.timestamp))

    def set_permits(self, command: SetPermits) -> Permits:
        """Change the total, and return the budget. Raise what `AdmissionQueue.resize` does."""
        self._runs.resize(command.total)
        self._handover.changes.permits = command.total
        self._handover.save()
        self._log.info("permits_set", total=command.total)
        return self._runs.queue.counts()

    async def set_log_level(self, command: SetLogLevel) -> LogLevel:
        """Put a level in force in every process of the service, within a second.

        Raise `Unavailable` when it cannot be written where the other processes look for it.
        """
        level, is_configured, shared = command.level, command.is_configured, self.settings.log_level
        async with self._setting_level:
            # Both halves bring the level of the settings at a reload; the second changes nothing.
            if not is_configured or level != shared.current:
                try:
                    await asyncio.to_thread(shared.write, level)
                except OSError as error:
                    reason = f"the log level cannot be shared: {error.strerror}"
                    raise Unavailable(reason, 5) from None
                shared.take(level)
            self._handover.changes.log_level = None if is_configured else level
            self._handover.save()
        return LogLevel(level)

    async def reload(self) -> None:
        """Take over all files as they are now; no run is touched.

        Of a file that cannot be used the old content stays in force, and the log says why.
        """
        for what, reload in (
            ("settings", self._reload_settings),
            ("manifest", self.reload_manifest),
        ):
            try:
                await reload()
            except ManagerError as error:
                self._log.error(f"{what}_not_reloaded", reason=error.message)
        for order in list(self._handover.changes.modules.values()):
            try:
                await self.modules[order.kind].reload(order)
            except ManagerError as error:
                self._log.error("module_not_reloaded", module=order.kind, reason=error.message)
        self._log.info("supervisor_reloaded")

    async def _reload_settings(self) -> None:
        """Take over the settings that need no restart, and name the others that have changed."""
        settings = self.settings
        read, unknown = await asyncio.to_thread(settings.file.read)
        for key in unknown:
            self._log.warning("setting_unknown", setting=key)
        for name in changed(settings.config, read, SUPERVISOR_RESTARTS):
            self._log.warning("setting_waits_for_restart", setting=name)
        await self.set_log_level(SetLogLevel(read.log_level, is_configured=True))
        settings.config = taken_over(settings.config, read, SUPERVISOR_RELOADS)

    async def reload_manifest(self) -> Done:
        """Read the manifest again, for runs to come. Raise `RequestFailed`."""
        await self.settings.manifests.reload()
        self._log.info("manifest_reloaded")
        return Done()

    def set_env(self, command: SetEnv) -> Done:
        """Set what `${ENV[key]}` means. Raise `BadRequest`. The value is never logged."""
        self.settings.environment.set(command.key, command.value)
        self._handover.changes.variables[command.key] = command.value
        self._handover.save()
        self._log.info("env_var_set", key=command.key)
        return Done()

    def remember_id(self, run_id: int) -> None:
        """Note that a run has this id. Many ids are noted at once, ahead of their use."""
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

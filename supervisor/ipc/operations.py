"""The table of operations: what carries out each command, and what it replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from msgspec import Struct

from genvm_manager.protocol.ipc.commands import (
    CancelRun,
    CheckLlm,
    GetNewestMajor,
    GetPermits,
    GetRun,
    GetStatus,
    ReadArtifact,
    ReadMetrics,
    ReadSchema,
    ReloadManifest,
    RestartModule,
    SetEnv,
    SetLogLevel,
    SetPermits,
    StartModule,
    StartRun,
    StopModule,
    WatchStatus,
)
from genvm_manager.protocol.ipc.replies import (
    ArtifactPart,
    Done,
    LlmChecked,
    LogLevel,
    MetricsText,
    ModuleStopped,
    NewestMajor,
    RunCancelled,
    RunStarted,
    RunStatus,
)
from genvm_manager.protocol.ipc.status import Permits, Status
from genvm_manager.supervisor.service import Service

C = TypeVar("C", bound=Struct)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Operation(Generic[C, R]):
    """What carries out one command.

    `act` takes the command, or nothing if the command has no fields. It gives the reply at once or
    when awaited. With `ends_with_client` it is cancelled when the client closes the connection: it
    changes nothing, or takes back what it has begun.
    """

    command: type[C]
    reply: type[R]
    act: Callable[[C], R | Awaitable[R]] | Callable[[], R | Awaitable[R]]
    ends_with_client: bool = False

    async def carry_out(self, command: C) -> R:
        """Carry out the command, and return the reply. Raise a `ManagerError`."""
        act: Callable[..., R | Awaitable[R]] = self.act
        made = act(command) if self.command.__struct_fields__ else act()
        return await made if isawaitable(made) else made


def operations(service: Service) -> dict[type, Operation[Any, Any]]:
    """Return the operation for each command."""
    controls, health = service.controls, service.health
    table: tuple[Operation[Any, Any], ...] = (
        Operation(StartRun, RunStarted, service.start_run),
        Operation(ReadSchema, RunStatus, service.read_schema, ends_with_client=True),
        Operation(GetRun, RunStatus, service.get_run, ends_with_client=True),
        Operation(ReadArtifact, ArtifactPart, service.read_artifact, ends_with_client=True),
        Operation(CancelRun, RunCancelled, service.cancel_run),
        Operation(StartModule, Done, controls.start_module),
        Operation(RestartModule, Done, controls.restart_module),
        Operation(StopModule, ModuleStopped, controls.stop_module),
        Operation(CheckLlm, LlmChecked, controls.check_llm, ends_with_client=True),
        Operation(GetStatus, Status, health.status, ends_with_client=True),
        Operation(WatchStatus, Status, health.watch_status, ends_with_client=True),
        Operation(GetPermits, Permits, service.runs.queue.counts, ends_with_client=True),
        Operation(SetPermits, Permits, controls.set_permits),
        Operation(GetNewestMajor, NewestMajor, controls.newest_major, ends_with_client=True),
        Operation(ReadMetrics, MetricsText, service.metrics.text, ends_with_client=True),
        Operation(SetLogLevel, LogLevel, controls.set_log_level),
        Operation(ReloadManifest, Done, controls.reload_manifest),
        Operation(SetEnv, Done, controls.set_env),
    )
    return {each.command: each for each in table}

"""`StopModule`."""

from __future__ import annotations

from genvm_manager.protocol.ipc import ModuleStopped, StopModule
from genvm_manager.supervisor.service import Service


async def stop_module(service: Service, command: StopModule) -> ModuleStopped:
    """Answers once nothing is left of it."""
    return ModuleStopped(await service.controls.stop_module(command.kind))

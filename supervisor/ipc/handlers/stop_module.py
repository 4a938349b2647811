"""`StopModule`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import StopModule
from genvm_manager.protocol.ipc.replies import ModuleStopped
from genvm_manager.supervisor.service import Service


async def stop_module(service: Service, command: StopModule) -> ModuleStopped:
    """Answers once nothing is left of it."""
    return ModuleStopped(await service.controls.stop_module(command.kind))

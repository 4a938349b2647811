"""`StopModule`."""

from __future__ import annotations

from protocol.ipc import ModuleStopped, StopModule

from ..service import Service


async def stop_module(service: Service, command: StopModule) -> ModuleStopped:
    """Answers once nothing is left of it."""
    return ModuleStopped(await service.controls.stop_module(command.kind))

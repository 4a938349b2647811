"""`RestartModule`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import RestartModule
from genvm_manager.protocol.ipc.replies import Done
from genvm_manager.supervisor.service import Service


async def restart_module(service: Service, command: RestartModule) -> Done:
    """Answers once a new module serves; the old one may still drain."""
    await service.controls.restart_module(command)
    return Done()

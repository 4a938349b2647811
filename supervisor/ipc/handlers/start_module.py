"""`StartModule`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import StartModule
from genvm_manager.protocol.ipc.replies import Done
from genvm_manager.supervisor.service import Service


async def start_module(service: Service, command: StartModule) -> Done:
    """Answers once the module serves. Goes on when the client leaves."""
    await service.controls.start_module(command)
    return Done()

"""`SetEnv`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import SetEnv
from genvm_manager.protocol.ipc.replies import Done
from genvm_manager.supervisor.service import Service


async def set_env(service: Service, command: SetEnv) -> Done:
    """Answers at once."""
    service.controls.set_env(command.key, command.value)
    return Done()

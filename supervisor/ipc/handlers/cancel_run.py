"""`CancelRun`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import CancelRun
from genvm_manager.protocol.ipc.replies import RunCancelled
from genvm_manager.supervisor.service import Service


async def cancel_run(service: Service, command: CancelRun) -> RunCancelled:
    """Answers when the run has finished."""
    await service.cancel_run(command.id, command.grace)
    return RunCancelled(command.id)

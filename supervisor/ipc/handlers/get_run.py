"""`GetRun`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import GetRun
from genvm_manager.protocol.ipc.replies import RunStatus
from genvm_manager.supervisor.service import Service


async def get_run(service: Service, command: GetRun) -> RunStatus:
    """Answers at once, or when the run finishes within the time given."""
    run = await service.get_run(command.id, command.wait, command.with_outputs)
    return RunStatus(command.id, run)

"""`ReadSchema`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import ReadSchema
from genvm_manager.protocol.ipc.replies import RunStatus
from genvm_manager.supervisor.service import Service


async def read_schema(service: Service, command: ReadSchema) -> RunStatus:
    """Answers when the run has finished."""
    with service.metrics.counting_refusals():
        return RunStatus(*await service.read_schema(command))

"""`GetStatus`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import GetStatus
from genvm_manager.protocol.ipc.status import Status
from genvm_manager.supervisor.service import Service


async def get_status(service: Service, _: GetStatus) -> Status:
    """Answers at once."""
    return service.status()

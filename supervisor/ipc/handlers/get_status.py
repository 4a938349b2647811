"""`GetStatus`."""

from __future__ import annotations

from genvm_manager.protocol.ipc import GetStatus, Status
from genvm_manager.supervisor.service import Service


async def get_status(service: Service, _: GetStatus) -> Status:
    """Answers at once."""
    return service.status()

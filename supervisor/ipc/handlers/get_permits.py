"""`GetPermits`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import GetPermits
from genvm_manager.protocol.ipc.status import Permits
from genvm_manager.supervisor.service import Service


async def get_permits(service: Service, _: GetPermits) -> Permits:
    """Answers at once."""
    return service.permits()

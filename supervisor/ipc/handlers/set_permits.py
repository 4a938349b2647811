"""`SetPermits`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import SetPermits
from genvm_manager.protocol.ipc.status import Permits
from genvm_manager.supervisor.service import Service


async def set_permits(service: Service, command: SetPermits) -> Permits:
    """Answers at once, with the budget as it is then."""
    return service.set_permits(command.total)

"""`SetPermits`."""

from __future__ import annotations

from protocol.ipc import Permits, SetPermits

from ..service import Service


async def set_permits(service: Service, command: SetPermits) -> Permits:
    """Answers at once, with the budget as it is then."""
    return service.set_permits(command.total)

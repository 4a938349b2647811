"""`GetPermits`."""

from __future__ import annotations

from protocol.ipc import GetPermits, Permits

from ..service import Service


async def get_permits(service: Service, _: GetPermits) -> Permits:
    """Answers at once."""
    return service.permits()

"""`GetStatus`."""

from __future__ import annotations

from protocol.ipc import GetStatus, Status

from ..service import Service


async def get_status(service: Service, _: GetStatus) -> Status:
    """Answers at once."""
    return service.status()

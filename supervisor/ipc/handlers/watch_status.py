"""`WatchStatus`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import WatchStatus
from genvm_manager.protocol.ipc.status import Status
from genvm_manager.supervisor.service import Service


async def watch_status(service: Service, command: WatchStatus) -> Status:
    """Answers when something has changed, or after the time given."""
    await service.changes.beyond(command.known, command.wait)
    return service.status()

"""`GetNewestMajor`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import GetNewestMajor
from genvm_manager.protocol.ipc.replies import NewestMajor
from genvm_manager.supervisor.service import Service


async def get_newest_major(service: Service, command: GetNewestMajor) -> NewestMajor:
    """Answers at once."""
    return NewestMajor(service.controls.newest_major(command.timestamp))

"""`GetNewestMajor`."""

from __future__ import annotations

from protocol.ipc import GetNewestMajor, NewestMajor

from ..service import Service


async def get_newest_major(service: Service, command: GetNewestMajor) -> NewestMajor:
    """Answers at once."""
    return NewestMajor(service.controls.newest_major(command.timestamp))

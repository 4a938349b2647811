"""`ReadArtifact`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import ReadArtifact
from genvm_manager.protocol.ipc.replies import ArtifactPart
from genvm_manager.supervisor.service import Service


async def read_artifact(service: Service, command: ReadArtifact) -> ArtifactPart:
    """Answers at once."""
    return await service.read_artifact(command)

"""`ReloadManifest`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import ReloadManifest
from genvm_manager.protocol.ipc.replies import Done
from genvm_manager.supervisor.service import Service


async def reload_manifest(service: Service, _: ReloadManifest) -> Done:
    """Answers when the manifest on the disk is in force."""
    await service.controls.reload_manifest()
    return Done()

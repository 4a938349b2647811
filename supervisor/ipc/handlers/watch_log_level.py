"""`WatchLogLevel`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import WatchLogLevel
from genvm_manager.protocol.ipc.replies import LogLevel
from genvm_manager.supervisor.service import Service


async def watch_log_level(service: Service, command: WatchLogLevel) -> LogLevel:
    """Answers when the level changes, or after the time given."""
    return LogLevel(await service.controls.settings.log_level.watch(command.known, command.wait))

"""`SetLogLevel`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import SetLogLevel
from genvm_manager.protocol.ipc.replies import LogLevel
from genvm_manager.supervisor.service import Service


async def set_log_level(service: Service, command: SetLogLevel) -> LogLevel:
    """Set the level. The other processes take it within a second."""
    await service.controls.set_log_level(command.level)
    return LogLevel(command.level)

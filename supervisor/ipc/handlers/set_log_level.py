"""`SetLogLevel`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import SetLogLevel
from genvm_manager.protocol.ipc.replies import LogLevel
from genvm_manager.supervisor.service import Service


async def set_log_level(service: Service, command: SetLogLevel) -> LogLevel:
    """Answers at once; others follow as soon as they are told."""
    service.controls.set_log_level(command.level)
    return LogLevel(command.level)

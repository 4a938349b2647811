"""`SetLogLevel`."""

from __future__ import annotations

from protocol.ipc import LogLevel, SetLogLevel

from ..service import Service


async def set_log_level(service: Service, command: SetLogLevel) -> LogLevel:
    """Answers at once; others follow as soon as they are told."""
    service.settings.log_level.set(command.level)
    return LogLevel(command.level)

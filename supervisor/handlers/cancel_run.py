"""`CancelRun`."""

from __future__ import annotations

from protocol.ipc import CancelRun, RunCancelled

from ..service import Service


async def cancel_run(service: Service, command: CancelRun) -> RunCancelled:
    """Answers when the run has finished."""
    await service.cancel_run(command.id, command.grace)
    return RunCancelled(command.id)

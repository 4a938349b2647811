"""`StartRun`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import StartRun
from genvm_manager.protocol.ipc.replies import RunStarted
from genvm_manager.supervisor.service import Service


async def start_run(service: Service, command: StartRun) -> RunStarted:
    """Answers once the child runs."""
    with service.metrics.counting_refusals():
        return RunStarted(await service.start_run(command))

"""The heartbeat: tells the service manager regularly that the event loop runs, and its load."""

from __future__ import annotations

import asyncio

from genvm_manager.supervisor.service import Service

from .service_manager import ServiceManager

PERIOD = 5.0
"""Seconds between two beats at most; at least three fit into the service manager's timeout."""

STOP_TIMEOUT = 30.0
"""Seconds that each beat asks for while we stop: until then the stop is over, or the next beat has
come."""


class Heartbeat:
    """Sends beats. Each one says everything, so that a lost one does no harm."""

    def __init__(self, manager: ServiceManager, service: Service) -> None:
        self._manager = manager
        self._service = service
        self._phase = ["READY=1"]

    async def run(self) -> None:
        """Send beats until cancelled. Call it when the service is ready."""
        if not self._manager.is_there:
            return
        timeout = self._manager.timeout
        period = PERIOD if timeout is None else min(PERIOD, timeout / 3)
        while True:
            self._beat()
            await asyncio.sleep(period)

    def stop_begins(self) -> None:
        """Say from now on that we are stopping, and that this may take until the next beat."""
        self._phase = ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={STOP_TIMEOUT * 1e6:.0f}"]
        self._beat()

    def _beat(self) -> None:
        self._manager.tell(*self._phase, "WATCHDOG=1", f"STATUS={self._sentence()}")

    def _sentence(self) -> str:
        permits = self._service.runs.queue.counts()
        runs = len(self._service.runs) - permits.queued
        return (
            f"{runs} running, {permits.queued} waiting; "
            f"{permits.in_use} of {permits.total} permits in use"
        )

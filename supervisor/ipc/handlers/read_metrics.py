"""`ReadMetrics`."""

from __future__ import annotations

from genvm_manager.protocol.ipc.commands import ReadMetrics
from genvm_manager.protocol.ipc.replies import MetricsText
from genvm_manager.supervisor.service import Service


async def read_metrics(service: Service, _: ReadMetrics) -> MetricsText:
    """Answers at once."""
    return MetricsText(service.metrics.text())

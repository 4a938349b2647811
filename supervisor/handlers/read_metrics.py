"""`ReadMetrics`."""

from __future__ import annotations

from protocol.ipc import MetricsText, ReadMetrics

from ..service import Service


async def read_metrics(service: Service, _: ReadMetrics) -> MetricsText:
    """Answers at once."""
    return MetricsText(service.metrics.text())

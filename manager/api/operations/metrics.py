"""`/metrics`: the service's metrics for Prometheus (docs/spec/01-http-api.md#status)."""

from __future__ import annotations

from functools import cache

from flask import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from genvm_manager.manager.api.declaration.content import Plain
from genvm_manager.manager.api.declaration.errors import UNAVAILABLE
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.http_processes import HttpProcesses
from genvm_manager.manager.api.sources import Sources
from genvm_manager.protocol.ipc.commands import ReadMetrics
from genvm_manager.protocol.ipc.replies import MetricsText

_EXAMPLE = """\
# HELP genvm_permits_in_use Permits that runs hold.
# TYPE genvm_permits_in_use gauge
genvm_permits_in_use 1.0
"""


def metrics(sources: Sources) -> Response:
    """Return the supervisor's metrics, then those of the HTTP processes.

    Raises `Unavailable` without the supervisor: half of the metrics would look like a service that
    is well.
    """
    text = sources.supervisor.ask(ReadMetrics(), MetricsText).text
    text += generate_latest(_of_http_processes(sources.http_master))
    return Response(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)


@cache
def _of_http_processes(master: int) -> CollectorRegistry:
    """Return the metrics of gunicorn's `master` and its children."""
    registry = CollectorRegistry()
    registry.register(HttpProcesses(master))
    return registry


OPERATIONS = (
    Operation(
        "GET",
        "/metrics",
        "Status",
        "Read the metrics for Prometheus",
        metrics,
        Plain("text/plain", "Prometheus' text format.", _EXAMPLE),
        "docs/operations/metrics-and-alerts.md has a table of all metrics and their meanings.",
        errors=(UNAVAILABLE,),
    ),
)

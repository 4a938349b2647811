"""`/metrics`: figures for Prometheus."""

from __future__ import annotations

import os

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from genvm_manager.manager.api.http_processes import HttpProcesses
from genvm_manager.manager.api.supervisor_client import SupervisorClient


def routes(client: SupervisorClient) -> Blueprint:
    """Return the blueprint of `GET /metrics`: the supervisor's metrics, then those of HTTP.

    Source: docs/spec/01-http-api.md#status.

    The application lives in a worker, so that its parent is gunicorn's master. Without the
    supervisor there are no figures at all: half of them would pass for a service that is well.
    """
    blueprint = Blueprint("metrics", __name__)
    registry = CollectorRegistry()
    registry.register(HttpProcesses(os.getppid()))

    @blueprint.get("/metrics")
    def metrics() -> Response:
        text = client.metrics().text + generate_latest(registry)
        return Response(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return blueprint

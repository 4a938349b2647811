"""What the supervisor counts and measures, in Prometheus' text format.

The metrics are listed in docs/operations/metrics-and-alerts.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from genvm_manager.base.errors import ModulesNotRunning, Refusal, Unavailable
from genvm_manager.protocol import __version__
from genvm_manager.protocol.ipc.replies import MetricsText
from genvm_manager.protocol.ipc.runs import Artifact, Cause, FinishedRun

L = TypeVar("L", bound=StrEnum)

_STREAMS = (Artifact.STDOUT, Artifact.STDERR)
_QUEUE_BOUNDS = (0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_START_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_DURATION_BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200, 3600)


class Metrics:
    """Counts what happens to runs. Collectors add, at each reading, what is so at that moment."""

    def __init__(self) -> None:
        # Prometheus itself notices when a counter began anew.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self._registry = CollectorRegistry()
        ProcessCollector("genvm_supervisor", registry=registry)
        Info("genvm_build", "What is running, in labels; always 1.", registry=registry).info(
            {"version": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
        )
        meaning = "Runs that have ended, by what ended them."
        self._finished = _counters(registry, "genvm_runs_finished", meaning, "cause", Cause)
        meaning = "Requests for runs that were not taken."
        self._refused = _counters(registry, "genvm_runs_refused", meaning, "reason", Refusal)
        meaning = "Runs that were taken and whose executor could not be started."
        self._failed_starts = Counter("genvm_run_start_failures", meaning, registry=registry)
        meaning = "Bytes that runs printed beyond what is kept."
        self._dropped = _counters(
            registry, "genvm_run_output_dropped_bytes", meaning, "stream", _STREAMS
        )
        meaning = "Log records that runs wrote beyond what is kept."
        self._dropped_records = Counter("genvm_run_log_records_dropped", meaning, registry=registry)
        meaning = "Seconds from a run's arrival until it had its permits."
        self._queue = _histogram(registry, "genvm_run_queue_seconds", meaning, _QUEUE_BOUNDS)
        meaning = "Seconds from having permits to a running executor."
        self._start = _histogram(registry, "genvm_run_start_seconds", meaning, _START_BOUNDS)
        meaning = "Seconds from a running executor to its end."
        self._duration = _histogram(
            registry, "genvm_run_duration_seconds", meaning, _DURATION_BOUNDS
        )

    def add(self, collector: Collector) -> None:
        """Add a collector, which is asked at each reading."""
        self._registry.register(collector)

    def text(self) -> MetricsText:
        """Return all metrics in Prometheus' text format."""
        return MetricsText(generate_latest(self._registry))

    def started(self, queued: float, starting: float) -> None:
        """Count a start: `queued` s until the run had permits, then `starting` s until it ran."""
        self._queue.observe(queued)
        self._start.observe(starting)

    def start_failed(self) -> None:
        """Count an executor that could not be started."""
        self._failed_starts.inc()

    def ended(self, seconds: float) -> None:
        """Count an executor that has ended after `seconds`."""
        self._duration.observe(seconds)

    def finished(self, run: FinishedRun) -> None:
        """Count a run whose end is on record."""
        self._finished[run.cause].inc()
        self._dropped[Artifact.STDOUT].inc(run.stdout_dropped)
        self._dropped[Artifact.STDERR].inc(run.stderr_dropped)
        self._dropped_records.inc(run.log_dropped)

    def unseen_end(self, cause: Cause) -> None:
        """Count a run of the previous supervisor, whose end is on record now."""
        self._finished[cause].inc()

    @contextmanager
    def counting_refusals(self) -> Iterator[None]:
        """Count a run that is refused inside this context."""
        try:
            yield
        except Unavailable as error:
            self._refused[error.reason].inc()
            raise
        except ModulesNotRunning:
            self._refused[Refusal.MODULES].inc()
            raise


def _counters(
    registry: CollectorRegistry, name: str, meaning: str, label: str, values: Iterable[L]
) -> dict[L, Counter]:
    """Return a counter for each value of the label, each 0 from the start."""
    family = Counter(name, meaning, [label], registry=registry)
    return {value: family.labels(value.value) for value in values}


def _histogram(
    registry: CollectorRegistry, name: str, meaning: str, bounds: tuple[float, ...]
) -> Histogram:
    return Histogram(name, meaning, buckets=bounds, registry=registry)

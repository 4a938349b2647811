"""The HTTP side's own processes, as metrics."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class HttpProcesses(Collector):
    """Measures gunicorn's master and its workers at each reading."""

    def __init__(self, master: int) -> None:
        """Take the pid of gunicorn's `master`, which must be alive."""
        self._master = psutil.Process(master)

    def collect(self) -> Iterator[Metric]:
        """Yield the number of processes and their memory, by role."""
        processes = GaugeMetricFamily(
            "genvm_http_processes", "Processes of the HTTP side.", labels=["role"]
        )
        memory = GaugeMetricFamily(
            "genvm_http_resident_memory_bytes",
            "Resident memory of all in this role; shared pages count in each.",
            labels=["role"],
        )
        for role, sizes in (
            ("master", _resident([self._master])),
            ("worker", _resident(_children(self._master))),
        ):
            processes.add_metric([role], len(sizes))
            memory.add_metric([role], sum(sizes))
        yield processes
        yield memory


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []


def _resident(processes: list[psutil.Process]) -> list[int]:
    """Return the resident bytes of each process that is still alive."""
    sizes = []
    for process in processes:
        try:
            sizes.append(process.memory_info().rss)
        except psutil.Error:
            continue
    return sizes

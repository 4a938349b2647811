"""The status as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from genvm_manager.protocol.ipc.modules import ModuleState
from genvm_manager.protocol.ipc.runs import RunState
from genvm_manager.protocol.ipc.status import Status


class StateMetrics(Collector):
    """Reads the status at each reading of the metrics."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the status as it is now."""
        status = self._status()
        yield _runs(status)
        yield _module_states(status)
        yield from _module_figures(status)
        memory = sum(execution.rss or 0 for execution in status.under_way)
        for name, meaning, value in (
            ("genvm_permits_limit", "The budget: permits in all.", status.permits.total),
            ("genvm_permits_in_use", "Permits that runs hold.", status.permits.in_use),
            ("genvm_permits_queued_runs", "Runs that wait for permits.", status.permits.queued),
            (
                "genvm_executors_resident_memory_bytes",
                "Resident memory of all executors, sampled each second.",
                memory,
            ),
            (
                "genvm_audit_violations",
                "Things that the audit found wrong; anything but 0 is a bug.",
                len(status.audit),
            ),
            ("genvm_accepting", "1 while new runs are taken, else 0.", int(status.accepting)),
        ):
            yield GaugeMetricFamily(name, meaning, value)


def _runs(status: Status) -> Metric:
    found = Counter(execution.state for execution in status.under_way)
    runs = GaugeMetricFamily("genvm_runs", "Runs under way, by state.", labels=["state"])
    for state in (RunState.QUEUED, RunState.STARTING, RunState.RUNNING):
        runs.add_metric([state.value], found[state])
    return runs


def _module_states(status: Status) -> Metric:
    modules = GaugeMetricFamily(
        "genvm_module_state",
        "1 for the state that the module is in, else 0.",
        labels=["module", "state"],
    )
    for kind, module in status.modules.items():
        for state in ModuleState:
            modules.add_metric([kind.value, state.value], int(state is module.state))
    return modules


def _module_figures(status: Status) -> Iterator[Metric]:
    workers = _by_module("genvm_module_workers", "Worker processes that live.")
    sessions = _by_module("genvm_module_sessions", "Connections that its workers serve.")
    memory = _by_module(
        "genvm_module_resident_memory_bytes",
        "Resident memory of its workers and all that they have started, sampled each second.",
    )
    for kind, module in status.modules.items():
        workers.add_metric([kind.value], sum(each.pid is not None for each in module.workers))
        sessions.add_metric([kind.value], sum(each.sessions for each in module.workers))
        memory.add_metric([kind.value], sum(each.rss or 0 for each in module.workers))
    yield from (workers, sessions, memory)


def _by_module(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=["module"])

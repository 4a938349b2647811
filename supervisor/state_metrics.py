"""What `Status` says, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from protocol.ipc import ModuleState, RunState, Status


class StateMetrics(Collector):
    """Asks for the status at each reading."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield _runs(status)
        yield _modules(status)
        memory = sum(execution.rss or 0 for execution in status.under_way)
        for name, words, value in (
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
            yield GaugeMetricFamily(name, words, value)


def _runs(status: Status) -> Metric:
    found = Counter(execution.state for execution in status.under_way)
    runs = GaugeMetricFamily("genvm_runs", "Runs under way, by state.", labels=["state"])
    for state in (RunState.QUEUED, RunState.STARTING, RunState.RUNNING):
        runs.add_metric([state.value], found[state])
    return runs


def _modules(status: Status) -> Metric:
    states = {"llm": status.llm_module, "web": status.web_module}
    modules = GaugeMetricFamily(
        "genvm_module_state",
        "1 for the state that the module is in, else 0.",
        labels=["module", "state"],
    )
    for name, present in states.items():
        for state in ModuleState:
            modules.add_metric([name, state.value], int(state is present))
    return modules

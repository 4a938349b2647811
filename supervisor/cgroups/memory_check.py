"""Whether there is memory enough for as many runs as may be under way at once."""

from __future__ import annotations

from genvm_manager.base.check_result import CheckResult, ok, warning
from genvm_manager.base.settings.config import Config

from .available_memory import MACHINE, AvailableMemory, permits_by_memory

TOPIC = "memory"

_GIB = 1 << 30
_LESS = "or lower permits.gib_per_permit and run_memory_limit if runs need less"


def examine_memory(config: Config, memory: AvailableMemory) -> CheckResult:
    """Compare the budget of permits and the limit of one run with the memory that there is."""
    costs = config.permits
    free, total = memory.available / _GIB, memory.total / _GIB
    says = f"{free:.1f} of {total:.1f} GiB are available"
    if memory.bound != MACHINE:
        says += f", bounded by {memory.bound}"
    if costs.total is not None and costs.total * costs.gib_per_permit > total:
        stand_for = f"{costs.total} permits stand for {costs.total * costs.gib_per_permit:.1f} GiB"
        return warning(TOPIC, f"{says}; {stand_for}", f"lower permits.total, {_LESS}")
    if config.run_memory_limit > memory.total:
        limit = f"one run may take {config.run_memory_limit / _GIB:.1f} GiB (run_memory_limit)"
        return warning(TOPIC, f"{says}; {limit}", f"give the service more memory, {_LESS}")
    if costs.total is not None:
        return ok(TOPIC, f"{says}; {costs.total} permits are set")
    return ok(TOPIC, f"{says}: {permits_by_memory(costs, memory)} permits for a service that "
                     "starts now")  # fmt: skip

"""Where runs wait for their permits and bring them back."""

from __future__ import annotations

from protocol.config import PermitCosts
from protocol.errors import BadRequest, Unavailable
from protocol.ipc import Permits

from .core.permits import PermitPool, QueueFull
from .run import Run, settle


class PermitDesk:
    """Binds the pool's rules to runs: who gets permits has its `granted` settled."""

    def __init__(self, pool: PermitPool, costs: PermitCosts) -> None:
        self._pool = pool
        self._costs = costs
        self._waiting: dict[int, Run] = {}

    def cost(self, needs_modules: bool) -> int:
        """What a run costs: dearer with modules (spec 03, life)."""
        return self._costs.nondet if needs_modules else self._costs.sync

    def queue(self, run: Run) -> None:
        """Put a run at the end of the queue. Raises `Unavailable` when the queue is full."""
        try:
            self._pool.enqueue(run.id, run.cost)
        except QueueFull:
            raise Unavailable(
                f"{self._pool.queued} runs wait for permits already, no more may", retry_after=2
            ) from None
        self._waiting[run.id] = run
        self._grant()

    def give_back(self, run: Run) -> bool:
        """Take a run's permits, or its place in the queue; False when it had neither."""
        self._waiting.pop(run.id, None)
        is_released = self._pool.release(run.id)
        self._grant()
        return is_released

    def resize(self, total: int) -> None:
        """Change the total; `BadRequest` when the dearest run would wait for ever."""
        if not self._costs.dearest <= total <= 1_000_000:
            raise BadRequest(
                f"permits: expected {self._costs.dearest} (what the dearest run costs) to 1000000"
            )
        self._pool.resize(total)
        self._grant()

    def counts(self) -> Permits:
        """The budget as clients see it."""
        return Permits(
            free=self._pool.free,
            total=self._pool.total,
            in_use=self._pool.in_use,
            queued=self._pool.queued,
            per_sync_run=self._costs.sync,
            per_nondet_run=self._costs.nondet,
        )

    def _grant(self) -> None:
        for run_id in self._pool.grant():
            settle(self._waiting.pop(run_id).granted)

"""Where runs wait for their permits and bring them back."""

from __future__ import annotations

import time

from genvm_manager.base.errors import BadRequest, Refusal, Unavailable
from genvm_manager.base.settings.config import PermitCosts
from genvm_manager.protocol.ipc.status import Permits

from .rules_permits import PermitPool, PermitSnapshot, QueueFull
from .rules_rate_limit import RateLimiter
from .run import Run, settle

MAX_QUEUED_BYTES = 512 << 20
"""What all runs that wait bring along: it sits in memory."""


class AdmissionQueue:
    """Binds the pool's rules to runs: who gets permits has its `granted` settled."""

    def __init__(self, pool: PermitPool, costs: PermitCosts, pace: RateLimiter) -> None:
        """`pace` bounds how quickly runs may come."""
        self._pool = pool
        self._costs = costs
        self._pace = pace
        self._waiting: dict[int, Run] = {}
        self._waiting_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """What the runs in the queue hold in memory."""
        return self._waiting_bytes

    def cost(self, needs_modules: bool) -> int:
        """What a run costs: dearer with modules (docs/spec/03-run-request.md#life)."""
        return self._costs.nondet if needs_modules else self._costs.sync

    def queue(self, run: Run) -> None:
        """Put a run at the end of the queue. Raises `Unavailable` when that is full, or when runs
        come too quickly."""
        if not self._pace.allows(time.monotonic()):
            raise Unavailable(
                f"runs come faster than {self._pace.per_second} a second; come again",
                retry_after=1,
                reason=Refusal.PACE,
            )
        if self._waiting and self._waiting_bytes + run.size > MAX_QUEUED_BYTES:
            raise Unavailable(
                "the runs that wait for permits hold too much data", 5, Refusal.QUEUE_BYTES
            )
        try:
            self._pool.enqueue(run.id, run.cost)
        except QueueFull:
            raise Unavailable(
                f"{self._pool.queued} runs wait for permits already, no more may",
                retry_after=2,
                reason=Refusal.QUEUE_FULL,
            ) from None
        self._waiting[run.id] = run
        self._waiting_bytes += run.size
        self._grant()

    def give_back(self, run: Run) -> bool:
        """Take a run's permits, or its place in the queue; False when it had neither."""
        self._leave(run.id)
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

    def snapshot(self) -> PermitSnapshot:
        """The pool's own, for the audit."""
        return self._pool.snapshot()

    def _grant(self) -> None:
        for run_id in self._pool.grant():
            run = self._leave(run_id)
            if run is not None:
                run.granted_at = time.monotonic()
                settle(run.granted)

    def _leave(self, run_id: int) -> Run | None:
        run = self._waiting.pop(run_id, None)
        if run is not None:
            self._waiting_bytes -= run.size
        return run

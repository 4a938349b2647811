"""The admission queue: where runs wait for their permits."""

from __future__ import annotations

import time

from genvm_manager.base.errors import BadRequest, Refusal, Unavailable
from genvm_manager.base.settings.config import PermitCosts
from genvm_manager.protocol.ipc.status import Permits

from .rules_permits import PermitPool, PermitSnapshot, QueueFull
from .rules_rate_limit import RateLimiter
from .run import Run

MAX_QUEUED_BYTES = 512 << 20
"""Bytes that the requests of all waiting runs may hold together: they are in memory."""


class AdmissionQueue:
    """Applies the rules of the permit pool, of the arrival rate and of memory to runs.

    Only `RunTable` adds, grants and releases, since these follow from a run's state.
    """

    def __init__(self, pool: PermitPool, costs: PermitCosts, rate: RateLimiter) -> None:
        """`rate` bounds how quickly runs may arrive."""
        self._pool = pool
        self._costs = costs
        self._rate = rate
        self._waiting: dict[int, Run] = {}
        self._waiting_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes of memory that the waiting runs hold."""
        return self._waiting_bytes

    def cost(self, needs_modules: bool) -> int:
        """Return the permits that a run costs (docs/spec/03-run-request.md#life)."""
        return self._costs.nondet if needs_modules else self._costs.sync

    def add(self, run: Run) -> None:
        """Put a run at the end of the queue.

        Raise `Unavailable` when runs arrive too quickly or too many wait already.
        """
        if not self._rate.allows(time.monotonic()):
            raise Unavailable(
                f"runs come faster than {self._rate.per_second} a second; try again later",
                retry_after=1,
                reason=Refusal.RATE,
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

    def grant(self) -> list[Run]:
        """Lease permits to the runs at the head of the queue that fit, and return them in order."""
        return [self._leave(run_id) for run_id in self._pool.grant()]

    def release(self, run: Run) -> None:
        """Take back a run's permits, or its place in the queue."""
        if run.id in self._waiting:
            self._leave(run.id)
        self._pool.release(run.id)

    def resize(self, total: int) -> None:
        """Change the total. Raise `BadRequest` when the dearest run would wait for ever."""
        if not self._costs.dearest <= total <= 1_000_000:
            raise BadRequest(
                f"permits: expected {self._costs.dearest} (what the dearest run costs) to 1000000"
            )
        self._pool.resize(total)

    def counts(self) -> Permits:
        """Return the budget as clients see it."""
        return Permits(
            free=self._pool.free,
            total=self._pool.total,
            in_use=self._pool.in_use,
            queued=self._pool.queued,
            per_sync_run=self._costs.sync,
            per_nondet_run=self._costs.nondet,
        )

    def snapshot(self) -> PermitSnapshot:
        """Return a copy of the pool's state, for the invariant checker."""
        return self._pool.snapshot()

    def _leave(self, run_id: int) -> Run:
        run = self._waiting.pop(run_id)
        self._waiting_bytes -= run.size
        return run

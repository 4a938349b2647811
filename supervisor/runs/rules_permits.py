"""The concurrency budget: who holds how much of it, and who is next.

Source: docs/spec/03-run-request.md#life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class QueueFull(Exception):
    """As many holders wait as may."""


@dataclass(frozen=True, slots=True)
class PermitSnapshot:
    """A pool at one moment. `leases` and `queue` are permits by holder.

    `ceiling` is what `in_use` may not exceed: the total; or, after the total was lowered below what
    was in use, those of these permits that have not come back.
    """

    total: int
    in_use: int
    ceiling: int
    leases: Mapping[int, int]
    queue: Mapping[int, int]


class PermitPool:
    """Permits leased to holders, first come, first served.

    A holder is a run's id. It waits, then holds, and leaves by `release`. The head of the queue is
    never overtaken: an expensive one there makes cheaper ones behind it wait.
    """

    def __init__(self, total: int, max_queued: int) -> None:
        self._total = total
        self._max_queued = max_queued
        self._leases: dict[int, int] = {}
        self._queue: dict[int, int] = {}
        self._in_use = 0
        self._ceiling = total

    @property
    def total(self) -> int:
        """The number of permits there are."""
        return self._total

    @property
    def in_use(self) -> int:
        """The number of permits that are leased."""
        return self._in_use

    @property
    def free(self) -> int:
        """The permits that are not leased; negative while more are in use than a lowered total."""
        return self._total - self._in_use

    @property
    def queued(self) -> int:
        """The number of holders that wait."""
        return len(self._queue)

    def snapshot(self) -> PermitSnapshot:
        """Return a copy of all that is known, for the invariant checker."""
        return PermitSnapshot(
            self._total, self._in_use, self._ceiling, dict(self._leases), dict(self._queue)
        )

    def enqueue(self, holder: int, cost: int) -> None:
        """Put `holder` at the end of the queue. Raise `QueueFull` when too many wait already."""
        if holder in self._queue or holder in self._leases:
            raise ValueError(f"{holder} is queued or holds permits already")
        must_wait = bool(self._queue) or cost > self.free
        if must_wait and len(self._queue) >= self._max_queued:
            raise QueueFull
        self._queue[holder] = cost

    def grant(self) -> list[int]:
        """Lease permits to the first holders in the queue that fit, and return them in order."""
        granted = []
        while self._queue:
            holder, cost = next(iter(self._queue.items()))
            if cost > self.free:
                break
            del self._queue[holder]
            self._leases[holder] = cost
            self._in_use += cost
            granted.append(holder)
        return granted

    def release(self, holder: int) -> bool:
        """Take back a holder's permits or place in the queue. Return False if it had neither."""
        if self._queue.pop(holder, None) is not None:
            return True
        cost = self._leases.pop(holder, None)
        if cost is None:
            return False
        self._in_use -= cost
        self._ceiling = max(self._total, min(self._ceiling, self._in_use))
        return True

    def resize(self, total: int) -> None:
        """Change the total. Holders keep their permits, and nothing is granted here."""
        self._total = total
        self._ceiling = max(total, self._in_use)

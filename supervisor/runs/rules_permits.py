"""The concurrency budget: who holds how much of it, and who is next.

Source: docs/spec/03-run-request.md#life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class QueueFull(Exception):
    """As many wait as may."""


@dataclass(frozen=True, slots=True)
class PermitSnapshot:
    """What a pool has on its books at one moment; `leases` and `queue` are permits by holder.

    `ceiling` is what `in_use` may not exceed: the total, or, once that was lowered below what was
    in use, what has not come back of it.
    """

    total: int
    in_use: int
    ceiling: int
    leases: Mapping[int, int]
    queue: Mapping[int, int]


class PermitPool:
    """Permits leased to holders, first come, first served.

    A holder is a run's id. It waits, then holds, and leaves by `release`. The head of the queue is
    never overtaken: a dear one there makes cheaper ones behind it wait.
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
        return self._total

    @property
    def in_use(self) -> int:
        return self._in_use

    @property
    def free(self) -> int:
        """Negative after the total was lowered below what is in use."""
        return self._total - self._in_use

    @property
    def queued(self) -> int:
        return len(self._queue)

    def snapshot(self) -> PermitSnapshot:
        """A copy of all that is known, for the audit."""
        return PermitSnapshot(
            self._total, self._in_use, self._ceiling, dict(self._leases), dict(self._queue)
        )

    def enqueue(self, holder: int, cost: int) -> None:
        """Put `holder` at the end of the queue. Raises `QueueFull` when it would have to wait."""
        if holder in self._queue or holder in self._leases:
            raise ValueError(f"{holder} is queued or holds permits already")
        must_wait = bool(self._queue) or cost > self.free
        if must_wait and len(self._queue) >= self._max_queued:
            raise QueueFull
        self._queue[holder] = cost

    def grant(self) -> list[int]:
        """Lease permits to those at the head of the queue who fit; returns them in order."""
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
        """Take `holder` out of the queue or its permits back; False when it had neither."""
        if self._queue.pop(holder, None) is not None:
            return True
        cost = self._leases.pop(holder, None)
        if cost is None:
            return False
        self._in_use -= cost
        self._ceiling = max(self._total, min(self._ceiling, self._in_use))
        return True

    def resize(self, total: int) -> None:
        """Change the total. Those who hold permits keep them; nothing is granted here."""
        self._total = total
        self._ceiling = max(total, self._in_use)

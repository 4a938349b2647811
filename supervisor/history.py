"""The finished runs that `Status` shows: the newest ones, and how many more are retained."""

from __future__ import annotations

from collections import deque

from protocol.ipc import Execution

SHOWN = 100


class History:
    """Counts the retained finished runs and keeps the summaries of the newest."""

    def __init__(self, newest: list[Execution], count: int) -> None:
        """`newest`, oldest first, are among the `count` retained ones."""
        self._newest = deque(newest, maxlen=SHOWN)
        self._count = count

    def add(self, execution: Execution) -> None:
        """A run has finished."""
        self._newest.append(execution)
        self._count += 1

    def forget(self, count: int, before: float) -> None:
        """`count` runs were pruned, all of which finished before a time."""
        self._count -= count
        kept = [each for each in self._newest if (each.finished_at or 0.0) >= before]
        if count and len(kept) < len(self._newest):
            self._newest = deque(kept, maxlen=SHOWN)

    @property
    def newest(self) -> list[Execution]:
        return list(self._newest)

    @property
    def omitted(self) -> int:
        """How many retained runs are not among the newest."""
        return max(0, self._count - len(self._newest))

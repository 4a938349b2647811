"""The finished runs that `Status` shows: the newest ones, and how many more are retained."""

from __future__ import annotations

from collections import deque

from protocol.ipc import Execution, pack_executions

SHOWN = 100


class History:
    """Counts the retained finished runs and keeps the summaries of the newest."""

    def __init__(self, newest: list[Execution], count: int) -> None:
        """`newest`, oldest first, are among the `count` retained ones."""
        self._newest = deque(newest, maxlen=SHOWN)
        self._count = count
        self._packed: bytes | None = None

    def add(self, execution: Execution) -> None:
        """A run has finished."""
        self._newest.append(execution)
        self._count += 1
        self._packed = None

    def forget(self, count: int, before: float) -> None:
        """`count` runs were pruned, all of which finished before a time."""
        self._count -= count
        kept = [each for each in self._newest if (each.finished_at or 0.0) >= before]
        if count and len(kept) < len(self._newest):
            self._newest = deque(kept, maxlen=SHOWN)
            self._packed = None

    @property
    def newest(self) -> list[Execution]:
        return list(self._newest)

    @property
    def packed(self) -> bytes:
        """`newest` as `Status` carries it, made once for as long as it stays."""
        if self._packed is None:
            self._packed = pack_executions(self.newest)
        return self._packed

    @property
    def omitted(self) -> int:
        """How many retained runs are not among the newest."""
        return max(0, self._count - len(self._newest))

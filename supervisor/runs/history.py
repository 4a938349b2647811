"""The newest finished runs, which `Status` shows."""

from __future__ import annotations

from collections import deque

from genvm_manager.protocol.ipc.status import Execution, pack_executions

MAX_SHOWN = 100
"""How many finished runs `Status` shows at most."""


class History:
    """Keeps the summaries of the newest runs that are retained."""

    def __init__(self, newest: list[Execution]) -> None:
        """`newest` are the runs of the store, oldest first."""
        self._newest = deque(newest, maxlen=MAX_SHOWN)
        self._packed: bytes | None = None

    def add(self, execution: Execution) -> None:
        """Add a run that has finished."""
        self._newest.append(execution)
        self._packed = None

    def forget(self, run_ids: list[int]) -> None:
        """Remove runs that the store has pruned."""
        forgotten = frozenset(run_ids)
        kept = [each for each in self._newest if each.id not in forgotten]
        if len(kept) < len(self._newest):
            self._newest = deque(kept, maxlen=MAX_SHOWN)
            self._packed = None

    @property
    def newest(self) -> list[Execution]:
        """The summaries, oldest first."""
        return list(self._newest)

    @property
    def packed(self) -> bytes:
        """`newest` as `Status` carries it, encoded once until it changes."""
        if self._packed is None:
            self._packed = pack_executions(self.newest)
        return self._packed

    def omitted(self, retained: int) -> int:
        """Return how many of the `retained` runs are not among the newest."""
        return max(0, retained - len(self._newest))

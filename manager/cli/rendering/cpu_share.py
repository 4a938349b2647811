"""How much processor runs use, from what they have used by certain times."""

from __future__ import annotations

from collections import deque

WINDOW = 5.0
"""Seconds over which the share is taken: the service looks at processes once a second."""


class CpuShares:
    """Of each run, in parts of one processor."""

    def __init__(self) -> None:
        self._looks: dict[int, deque[tuple[float, float]]] = {}

    def share(self, run_id: int, at: float, cpu_seconds: float) -> float | None:
        """Take in what the run has used by the time `at`; its share, None before the second look.

        `at` is monotonic and in seconds.
        """
        looks = self._looks.setdefault(run_id, deque())
        looks.append((at, cpu_seconds))
        while len(looks) > 2 and looks[1][0] <= at - WINDOW:
            looks.popleft()
        (then, before), (now, used) = looks[0], looks[-1]
        return (used - before) / (now - then) if now > then else None

    def keep(self, run_ids: set[int]) -> None:
        """Forget all others."""
        self._looks = {run_id: self._looks[run_id] for run_id in run_ids & self._looks.keys()}

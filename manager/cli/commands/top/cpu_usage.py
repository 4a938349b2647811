"""The processor use of runs, computed from their processor time at different moments."""

from __future__ import annotations

from collections import deque

WINDOW = 5.0
"""Seconds over which the use is measured: the service reads processor times once a second."""


class CpuUsage:
    """The processor use of each run, as a part of one processor."""

    def __init__(self) -> None:
        self._samples: dict[int, deque[tuple[float, float]]] = {}

    def add(self, run_id: int, at: float, cpu_seconds: float) -> float | None:
        """Add the processor time of a run at a moment; return its use, None for the first sample.

        `at` is in seconds of a monotonic clock.
        """
        samples = self._samples.setdefault(run_id, deque())
        samples.append((at, cpu_seconds))
        while len(samples) > 2 and samples[1][0] <= at - WINDOW:
            samples.popleft()
        (then, before), (now, used) = samples[0], samples[-1]
        return (used - before) / (now - then) if now > then else None

    def keep(self, run_ids: set[int]) -> None:
        """Forget all other runs."""
        self._samples = {run_id: self._samples[run_id] for run_id in run_ids & self._samples.keys()}

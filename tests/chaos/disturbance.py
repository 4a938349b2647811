"""What was done to the service and when, so that the oracle knows what may go wrong meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

GRACE = 2.0
"""Seconds before and after a disturbance in which its effects may be seen."""


class Effect(Enum):
    """What a fault may do to clients and runs.

    `BREAKS`: HTTP connections break. `SHUTS`: runs end by `shutdown`. `LOSES`: runs end by `lost`.
    While runs are shut down or lost, requests may get 503.
    """

    BREAKS = "breaks"
    SHUTS = "shuts"
    LOSES = "loses"


@dataclass(slots=True)
class Disturbance:
    """One fault, from its beginning until the service was healthy again.

    `began` and `healed` are in seconds since 1970; `healed` is None while the service is not
    healthy. `killed`: the runs of which a process was killed.
    """

    name: str
    effects: frozenset[Effect]
    began: float
    healed: float | None = None
    killed: set[int] = field(default_factory=set)

    @property
    def took(self) -> float:
        """Seconds until the service was healthy again, or until now."""
        return (self.healed or time.time()) - self.began

    def covers(self, since: float, until: float) -> bool:
        """Return whether it was going on in some part of this time."""
        end = float("inf") if self.healed is None else self.healed + GRACE
        return self.began - GRACE <= until and since <= end


class Disturbances:
    """All disturbances so far; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Disturbance] = []

    def __iter__(self) -> Iterator[Disturbance]:
        with self._lock:
            return iter(list(self._all))

    @contextmanager
    def during(self, name: str, effects: frozenset[Effect]) -> Iterator[Disturbance]:
        """Record a disturbance that lasts as long as the context is entered."""
        disturbance = Disturbance(name, effects, time.time())
        self.extend([disturbance])
        yield disturbance
        disturbance.healed = time.time()

    def extend(self, known: Iterable[Disturbance]) -> None:
        """Add disturbances that are known already."""
        with self._lock:
            self._all.extend(known)

    def explain(self, effects: set[Effect], since: float, until: float) -> bool:
        """Return whether a disturbance with any of these effects was going on then."""
        return any(each.effects & effects and each.covers(since, until) for each in self)

    def killed(self) -> set[int]:
        """Return the runs of which a process was killed."""
        return {run_id for each in self for run_id in each.killed}

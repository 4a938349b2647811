"""What was done to the service and when: by it, the oracle knows what may go wrong meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

GRACE = 2.0
"""Seconds around a disturbance for which its effects are believed to be due to it."""


class Effect(Enum):
    """`BREAKS`: connections of HTTP clients. `SHUTS`: runs end by `shutdown`. `LOSES`: by `lost`.

    While runs are shut down or lost, requests may get 503.
    """

    BREAKS = "breaks"
    SHUTS = "shuts"
    LOSES = "loses"


@dataclass(slots=True)
class Disturbance:
    """`healed`: when the service was whole again, None while it is not; seconds since 1970.

    `killed`: the runs of which a process was killed.
    """

    name: str
    effects: frozenset[Effect]
    began: float
    healed: float | None = None
    killed: set[int] = field(default_factory=set)

    @property
    def took(self) -> float:
        """Seconds until it was healed."""
        return (self.healed or time.time()) - self.began

    def covers(self, since: float, until: float) -> bool:
        """Whether it was going on in some part of this time."""
        end = float("inf") if self.healed is None else self.healed + GRACE
        return self.began - GRACE <= until and since <= end


class Disturbances:
    """All of them; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Disturbance] = []

    def __iter__(self) -> Iterator[Disturbance]:
        with self._lock:
            return iter(list(self._all))

    @contextmanager
    def during(self, name: str, effects: frozenset[Effect]) -> Iterator[Disturbance]:
        """The time in which something is done to the service and it heals."""
        disturbance = Disturbance(name, effects, time.time())
        self.extend([disturbance])
        yield disturbance
        disturbance.healed = time.time()

    def extend(self, known: Iterable[Disturbance]) -> None:
        """Take in what was done before."""
        with self._lock:
            self._all.extend(known)

    def explain(self, effects: set[Effect], since: float, until: float) -> bool:
        """Whether one with any of these effects was going on then."""
        return any(each.effects & effects and each.covers(since, until) for each in self)

    def killed(self) -> set[int]:
        """The runs of which a process was killed."""
        return {run_id for each in self for run_id in each.killed}

"""What came of the inputs of one target so far."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .observation import Observation

MAX_OF_A_KIND = 3
"""Faults with the same words that are kept; the rest is counted."""


@dataclass(frozen=True)
class FoundFault:
    """An input at which something went wrong, and where it is kept."""

    number: int
    faults: tuple[str, ...]
    path: Path


@dataclass
class Most:
    """The input that took most of something."""

    amount: float = 0.0
    number: int | None = None

    def consider(self, amount: float, number: int) -> None:
        """Remember the input if none took more."""
        if amount > self.amount:
            self.amount, self.number = amount, number


@dataclass
class Tally:
    """Counts and extremes of one target. `kinds` counts faults by their words."""

    target: str
    seed: int
    inputs: int = 0
    elapsed: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: Most = field(default_factory=Most)
    largest: Most = field(default_factory=Most)
    found_faults: list[FoundFault] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def ended_badly(self, why: str) -> None:
        """Count that what was fuzzed, a service perhaps, did not stop as it must."""
        self.kinds[f"the end: {why.strip()[-300:]}"] += 1

    def add(self, number: int, observation: Observation) -> bool:
        """Count it; True when it is a finding that is worth keeping."""
        self.inputs += 1
        self.outcomes[observation.outcome] += 1
        self.slowest.consider(observation.seconds, number)
        self.largest.consider(observation.memory, number)
        if not observation.faults:
            return False
        kind = re.sub(r"\d+", "N", observation.faults[0])[:100]
        self.kinds[kind] += 1
        return self.kinds[kind] <= MAX_OF_A_KIND

"""What one input did."""

from __future__ import annotations

from typing import NamedTuple


class Observation(NamedTuple):
    """How one input ended.

    `outcome` is a word or two, by which inputs are counted. `seconds` of processor time and
    `memory` in bytes are what it took. `faults` has a sentence for each thing that must not happen.
    """

    outcome: str
    seconds: float = 0.0
    memory: int = 0
    faults: tuple[str, ...] = ()

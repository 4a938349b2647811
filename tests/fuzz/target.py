"""What is fuzzed: where its inputs come from, and who tries them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from random import Random
from typing import NamedTuple

from .observation import Observation

MAX_INPUT = 8 << 20
"""Bytes of the longest input; longer ones are cut."""

Tester = Callable[[Sequence[bytes]], Iterator[Observation]]
"""Tries inputs in order and gives one observation for each."""


class Target(NamedTuple):
    """`make` turns random decisions into one input; `open` gives a tester for as long as it is
    entered. `batch`: how many inputs a tester is given at once."""

    name: str
    about: str
    make: Callable[[Random], bytes]
    open: Callable[[], AbstractContextManager[Tester]]
    batch: int = 25


def input_of(target: Target, seed: int, number: int) -> bytes:
    """Return the input with this number: the same on every machine."""
    return target.make(Random(f"{seed}/{target.name}/{number}"))[:MAX_INPUT]

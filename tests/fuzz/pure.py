"""Code that only reads bytes: tried in a forked child, judged by what it raises and takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from .forked import observe_in_children
from .measure import Measure
from .observation import Observation
from .target import Tester

MAX_SECONDS = 5.0
MAX_MEMORY = 256 << 20

Reads = Callable[[bytes], tuple[str, list[str]]]
"""Reads an input; how that ended, and a sentence for each thing that must not be."""


@contextmanager
def pure_tester(reads: Reads) -> Iterator[Tester]:
    """Return a function that calls `reads`; whatever that raises is a fault."""
    yield partial(observe_in_children, attempt=partial(_attempt, reads))


def _attempt(reads: Reads, content: bytes) -> Observation:
    measure = Measure()
    try:
        outcome, faults = reads(content)
    except BaseException as error:
        outcome = f"raised {type(error).__name__}"
        faults = [f"{outcome}: {error}"[:300]]
    seconds, memory = measure.seconds(), measure.memory()
    if seconds > MAX_SECONDS:
        faults.append(f"it took {seconds:.1f} s of processor time for {len(content)} bytes")
    if memory > MAX_MEMORY:
        faults.append(f"it took {memory >> 20} MiB for {len(content)} bytes")
    return Observation(outcome, seconds, memory, tuple(faults))

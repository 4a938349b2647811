"""Waiting for the end of a process: its pidfd becomes readable then."""

from __future__ import annotations

import select
from collections.abc import Iterable


def wait_readable(descriptors: Iterable[int], timeout: float | None) -> bool:
    """Wait until one of `descriptors` is readable or has ended, or until `timeout` seconds are
    over (None: without end). Return whether one is.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


def has_ended(pidfd: int, within: float = 0.0) -> bool:
    """Return whether the process has ended; wait up to `within` seconds for that."""
    return wait_readable([pidfd], within)

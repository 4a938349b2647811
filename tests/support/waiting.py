"""Waiting for facts. No claim of quickness hangs on it: a busy machine is slow, and not wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

TIMEOUT = 100.0
"""Seconds after which a test that waits for something fails."""

_PAUSE = 0.01

T = TypeVar("T")


def wait_until(fact: Callable[[], T | None], within: float = TIMEOUT) -> T:
    """Wait for a fact and return its first truthy value; fail after so many seconds."""
    deadline = time.monotonic() + within
    while True:
        if value := fact():
            return value
        assert time.monotonic() < deadline, f"not so within {within} s: {fact}"
        time.sleep(_PAUSE)

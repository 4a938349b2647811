"""The end of a contract's time, for host work that may take long.

What a guest itself does, the engine's epoch ends.
"""

from __future__ import annotations

from .endings import TIMEOUT, CallEnded


class Deadline:
    """A flag that any thread may set: after `is_over = True` each `check` raises `CallEnded`."""

    def __init__(self) -> None:
        self.is_over = False

    def check(self) -> None:
        """Raise `CallEnded` with the outcome `timeout` once the contract's time is over."""
        if self.is_over:
            raise CallEnded(TIMEOUT)

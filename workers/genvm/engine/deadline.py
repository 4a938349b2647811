"""The end of a contract's time, for host work that may take long: what guests do, an epoch ends."""

from __future__ import annotations


class TimeUp(Exception):
    """The contract's time is over; ends the guest that was being served."""


class Deadline:
    """Set `is_over` from any thread: the next `check` raises `TimeUp`."""

    def __init__(self) -> None:
        self.is_over = False

    def check(self) -> None:
        """Raise `TimeUp` once the contract's time is over."""
        if self.is_over:
            raise TimeUp

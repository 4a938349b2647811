"""Where the time of a run goes, for its log."""

from __future__ import annotations

import time


class Timings:
    """Milliseconds between one mark and the next, by the name of the mark that ends them."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.parts: dict[str, float] = {}

    def mark(self, name: str) -> None:
        """End a part, and begin the next."""
        now = time.perf_counter()
        self.parts[name] = round((now - self._last) * 1000, 2)
        self._last = now

    def total(self) -> float:
        """Return all parts together."""
        return sum(self.parts.values())

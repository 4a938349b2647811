"""A limit on a rate."""

from __future__ import annotations


class RateLimiter:
    """Token bucket: `per_second` on average, bursts up to one second's worth.

    All times are monotonic and in seconds.
    """

    def __init__(self, per_second: int, now: float) -> None:
        self.per_second = per_second
        self._left = float(per_second)
        self._since = now

    def allows(self, now: float) -> bool:
        """Return whether one more is allowed now, and count it if so."""
        earned = max(0.0, now - self._since) * self.per_second
        self._left = min(float(self.per_second), self._left + earned)
        self._since = max(self._since, now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

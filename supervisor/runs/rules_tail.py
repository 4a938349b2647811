"""The last bytes of an output."""

from __future__ import annotations


class Tail:
    """Keeps the last `limit` bytes it was given and counts those it dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.dropped_bytes = 0

    def append(self, received: bytes) -> None:
        """Append bytes, and drop from the start what exceeds the limit."""
        self._kept += received
        excess = len(self._kept) - self._limit
        if excess > 0:
            del self._kept[:excess]
            self.dropped_bytes += excess

    def content(self) -> bytes:
        """Return all that is kept."""
        return bytes(self._kept)

    def part(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of what is kept, from `offset` on."""
        return bytes(self._kept[offset : offset + length])

    def __len__(self) -> int:
        return len(self._kept)

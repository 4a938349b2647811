"""Reading a PNG's pixels: enough of the format for Chromium's screenshots.

Most rows of a page are like the one above: none is worked out twice.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

_CHANNELS = {2: 3, 6: 4}


@dataclass(frozen=True)
class Image:
    """A decoded image."""

    width: int
    height: int
    rows: list[bytes]
    channels: int

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        """Return red, green and blue."""
        start = x * self.channels
        red, green, blue = self.rows[y][start : start + 3]
        return red, green, blue

    def count(self, color: tuple[int, int, int]) -> int:
        """Return how many pixels have exactly this colour."""
        return sum(
            number
            * sum(
                tuple(row[start : start + 3]) == color
                for start in range(0, len(row), self.channels)
            )
            for row, number in Counter(self.rows).items()
        )


def read_png(data: bytes) -> Image:
    """Decode an 8-bit, true-colour PNG that is not interlaced."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    packed, position, header = b"", 8, b""
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        position += 12 + length
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    assert (depth, interlaced) == (8, 0)
    channels = _CHANNELS[color]
    return Image(width, height, _unfiltered(zlib.decompress(packed), width, channels), channels)


def _unfiltered(raw: bytes, width: int, channels: int) -> list[bytes]:
    rows: list[bytes] = []
    size = width * channels
    above = bytes(size)
    for start in range(0, len(raw), size + 1):
        above = _row(raw[start], raw[start + 1 : start + 1 + size], above, channels)
        rows.append(above)
    return rows


@lru_cache
def _row(kind: int, filtered: bytes, above: bytes, step: int) -> bytes:
    row = bytearray(filtered)
    for x in range(len(row)):
        left = row[x - step] if x >= step else 0
        corner = above[x - step] if x >= step else 0
        added = (0, left, above[x], (left + above[x]) // 2, _paeth(left, above[x], corner))[kind]
        row[x] = (row[x] + added) & 0xFF
    return bytes(row)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))

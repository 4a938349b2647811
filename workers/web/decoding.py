"""Taking in a body with a limit that holds for what it unfolds to, not for what it weighs."""

from __future__ import annotations

import zlib

_GZIP_OR_ZLIB = 47
_RAW = -15

ACCEPTED = b"gzip, deflate"
"""What `Body` can decode, as the `Accept-Encoding` header says it."""


class TooLarge(Exception):
    """The body is longer than it may be."""


class Undecodable(Exception):
    """The body is not what its `Content-Encoding` says."""


class Body:
    """Collects a body of up to `limit` bytes after decoding."""

    def __init__(self, limit: int, encoding: bytes) -> None:
        self._limit = limit
        self._content = bytearray()
        self.is_decoded = encoding.strip().lower() in (b"gzip", b"x-gzip", b"deflate")
        self._is_deflate = encoding.strip().lower() == b"deflate"
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB) if self.is_decoded else None
        self._is_begun = False

    def append(self, received: bytes) -> None:
        """Take in what arrived. Raises `TooLarge` or `Undecodable`."""
        self._content += self._decoded(received) if self._decoder else received
        if len(self._content) > self._limit:
            raise TooLarge

    def content(self) -> bytes:
        return bytes(self._content)

    def _decoded(self, received: bytes) -> bytes:
        assert self._decoder is not None
        if self._is_deflate and not self._is_begun and received:
            self._choose_deflate(received[0])
        self._is_begun = self._is_begun or bool(received)
        try:
            decoded = self._decoder.decompress(received, self._limit + 1 - len(self._content))
        except zlib.error as error:
            raise Undecodable(str(error)) from None
        if self._decoder.unconsumed_tail:
            raise TooLarge
        return decoded

    def _choose_deflate(self, first: int) -> None:
        """`deflate` is zlib's format by the standard, and often enough the bare stream."""
        if first & 0x0F != zlib.DEFLATED:
            self._decoder = zlib.decompressobj(_RAW)

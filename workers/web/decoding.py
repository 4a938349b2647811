"""Taking in a body with a limit that holds for what it unfolds to, not for what it weighs."""

from __future__ import annotations

import zlib

_GZIP_OR_ZLIB = 47
_RAW = -15
_GZIP_BEGINS = 0x1F

ACCEPTED = b"gzip, deflate"
"""What `Body` can decode, as the `Accept-Encoding` header says it."""


class TooLarge(Exception):
    """The body is longer than it may be."""


class Undecodable(Exception):
    """The body is not what its `Content-Encoding` says."""


class Body:
    """Collects a body of up to `limit` bytes after decoding."""

    def __init__(self, limit: int, encoding: bytes) -> None:
        coding = encoding.strip().lower()
        self.is_decoded = coding in (b"gzip", b"x-gzip", b"deflate")
        self._limit = limit
        self._content = bytearray()
        self._unfold = _Unfolding(is_deflate=coding == b"deflate") if self.is_decoded else None

    def append(self, received: bytes) -> None:
        """Take in what arrived. Raises `TooLarge` or `Undecodable`."""
        if self._unfold is None:
            self._content += received
        else:
            self._unfold.append(received, self._content, self._limit)
        if len(self._content) > self._limit:
            raise TooLarge

    def content(self) -> bytes:
        """All of it. Raises `Undecodable` when the end is missing."""
        if self._unfold is not None and not self._unfold.is_whole:
            raise Undecodable("it was cut off")
        return bytes(self._content)


class _Unfolding:
    """One packed stream, or several one after the other, as gzip allows."""

    def __init__(self, *, is_deflate: bool) -> None:
        self._is_deflate = is_deflate
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._is_begun = False

    @property
    def is_whole(self) -> bool:
        return self._decoder.eof or not self._is_begun

    def append(self, received: bytes, content: bytearray, limit: int) -> None:
        """Unfold into `content`. Raises `TooLarge` once it is longer than `limit`."""
        while received:
            if self._decoder.eof and not self._begins_another(received[0]):
                return
            if not self._is_begun:
                self._begin(received[0])
            try:
                content += self._decoder.decompress(received, limit + 1 - len(content))
            except zlib.error as error:
                raise Undecodable(str(error)) from None
            if self._decoder.unconsumed_tail or len(content) > limit:
                raise TooLarge
            received = self._decoder.unused_data

    def _begin(self, first: int) -> None:
        """`deflate` is zlib's format by the standard, and often enough the bare stream."""
        self._is_begun = True
        if self._is_deflate and first & 0x0F != zlib.DEFLATED:
            self._decoder = zlib.decompressobj(_RAW)

    def _begins_another(self, first: int) -> bool:
        """Whether what follows an end is more of it, and not padding."""
        if self._is_deflate or first != _GZIP_BEGINS:
            return False
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        return True

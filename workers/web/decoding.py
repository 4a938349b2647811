"""Collects a response body with a limit that counts decompressed bytes."""

from __future__ import annotations

import zlib

_GZIP_OR_ZLIB = 47
_RAW = -15
_GZIP_BEGINS = 0x1F

ACCEPTED = b"gzip, deflate"
"""The `Accept-Encoding` header for what `Body` can decode."""


class TooLarge(Exception):
    """The body is longer than the limit."""


class Undecodable(Exception):
    """The body does not have the encoding that its `Content-Encoding` names."""


class Body:
    """Collects a body of up to `limit` bytes after decoding."""

    def __init__(self, limit: int, encoding: bytes) -> None:
        coding = encoding.strip().lower()
        self.is_decoded = coding in (b"gzip", b"x-gzip", b"deflate")
        self._limit = limit
        self._content = bytearray()
        self._decompressor = (
            _Decompressor(is_deflate=coding == b"deflate") if self.is_decoded else None
        )

    def append(self, received: bytes) -> None:
        """Add received bytes. Raises `TooLarge` or `Undecodable`."""
        if self._decompressor is None:
            self._content += received
        else:
            self._decompressor.append(received, self._content, self._limit)
        if len(self._content) > self._limit:
            raise TooLarge

    def content(self) -> bytes:
        """Return the whole body. Raises `Undecodable` if it was cut off."""
        if self._decompressor is not None and not self._decompressor.is_complete:
            raise Undecodable("it was cut off")
        return bytes(self._content)


class _Decompressor:
    """Decompresses one stream, or several one after the other, as gzip allows."""

    def __init__(self, *, is_deflate: bool) -> None:
        self._is_deflate = is_deflate
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._is_begun = False

    @property
    def is_complete(self) -> bool:
        """Whether the data does not end inside a stream."""
        return self._decoder.eof or not self._is_begun

    def append(self, received: bytes, content: bytearray, limit: int) -> None:
        """Decompress into `content`. Raises `TooLarge` once it is longer than `limit`."""
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
        """Detect the format: `deflate` is zlib's by the standard, but often the bare stream."""
        self._is_begun = True
        if self._is_deflate and first & 0x0F != zlib.DEFLATED:
            self._decoder = zlib.decompressobj(_RAW)

    def _begins_another(self, first: int) -> bool:
        """Return whether another stream follows, and not padding."""
        if self._is_deflate or first != _GZIP_BEGINS:
            return False
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        return True

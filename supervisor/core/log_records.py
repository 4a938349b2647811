"""The executor's log: lines of JSON, of which the last are kept (spec 04, command line)."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

MAX_LINE = 256 << 10
"""A longer line is cut into pieces of this many bytes."""

_RECORD_OVERHEAD = 64
"""Bytes that one kept line costs beyond its own: what makes a flood of empty lines count."""


class LineSplitter:
    """Cuts a byte stream into lines without their ends; empty lines are left out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, received: bytes) -> list[bytes]:
        """The lines that are complete once `received` is appended."""
        self._rest += received
        if b"\n" not in received and len(self._rest) <= MAX_LINE:
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        while len(rest) > MAX_LINE:
            lines.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        self._rest = bytearray(rest)
        return [line for line in lines if line and not line.isspace()]

    def end(self) -> list[bytes]:
        """What is left at the end of the stream: a line without an end, or nothing."""
        return self.feed(b"\n")


class RecordTail:
    """Keeps the last log lines, bounded by number and by bytes, and counts those it dropped."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._splitter = LineSplitter()
        self._lines: deque[bytes] = deque()
        self.size = 0
        self.dropped = 0

    def append(self, received: bytes) -> None:
        self._keep(self._splitter.feed(received))

    def content(self) -> bytes:
        """A JSON array of objects; call it once, at the end of the stream."""
        self._keep(self._splitter.end())
        return b"[" + b",".join(map(_as_object, self._lines)) + b"]"

    def _keep(self, lines: list[bytes]) -> None:
        for line in lines:
            self._lines.append(line)
            self.size += len(line) + _RECORD_OVERHEAD
        while len(self._lines) > self._max_records or self.size > self._max_bytes:
            self.size -= len(self._lines.popleft()) + _RECORD_OVERHEAD
            self.dropped += 1


def parse_record(line: bytes) -> dict[str, Any]:
    """The object in a line; a line that holds none becomes the message of one."""
    return _decoded(line) or {"level": "info", "message": line.decode("utf-8", "replace")}


def _as_object(line: bytes) -> bytes:
    return line if _decoded(line) else msgspec.json.encode(parse_record(line))


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

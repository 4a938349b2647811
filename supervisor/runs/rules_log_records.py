"""The executor's log: lines of JSON, the last of which are kept.

Source: docs/spec/04-executor.md#command-line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from genvm_manager.base.validation import NOT_DECODED
from genvm_manager.protocol.limits import MAX_CONTRACT_ERROR

MAX_LINE = 256 << 10
"""A longer line is cut into pieces of this many bytes."""

MAX_TRACEBACK = 16 << 10
"""Characters of a traceback that are kept, the last ones."""

_TRACEBACK = "traceback"
"""The field with an executor's traceback. It names our files, so clients must not see it."""

_CONTRACT_ERROR = "contract_error"
"""The field that says why the contract ended with a VM error (docs/spec/04-executor.md)."""

_decode = msgspec.json.Decoder().decode

_RECORD_OVERHEAD = 64
"""Bytes that one kept record counts beyond its own, so that many small ones are bounded too."""


class LineSplitter:
    """Cuts a byte stream into lines without their ends; empty lines are left out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, received: bytes) -> list[bytes]:
        """Return the lines that are complete once `received` is appended."""
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
        """Return what is left at the end of the stream: a line without an end, or nothing."""
        return self.feed(b"\n")


class RecordTail:
    """Keeps the last log lines, bounded by number and by bytes, and counts those it dropped.

    Each record takes its length and two bytes: a bracket or comma before it, a line's end after it.
    So the content only grows at its end, except for the bracket that closes it, and a reader can
    separate the records without parsing JSON.
    """

    def __init__(
        self, max_records: int, max_bytes: int, tell_fault: Callable[[str], None] | None = None
    ) -> None:
        """`tell_fault` is called with the traceback of a record, which is not kept here."""
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._tell_fault = tell_fault
        self._splitter = LineSplitter()
        self._kept = bytearray()
        self._sizes: deque[int] = deque()
        self.dropped_records = 0
        self.dropped_bytes = 0
        self.contract_error: str | None = None
        """Why the contract failed, as the last record says that says so."""

    def append(self, received: bytes) -> None:
        """Take what the executor has written to its log."""
        self._keep(self._splitter.feed(received))

    def content(self) -> bytes:
        """Return a JSON array of objects. Call it once, at the end of the stream."""
        self._keep(self._splitter.end())
        return b"".join((b"[", memoryview(self._kept)[1:], b"]"))

    def part(self, offset: int, length: int) -> bytes:
        """Return a part of the content so far, which lacks the closing bracket."""
        found = bytes(self._kept[offset : offset + length])
        return b"[" + found[1:] if found and offset == 0 else found

    def __len__(self) -> int:
        """Return the bytes of the content so far."""
        return len(self._kept)

    def _keep(self, lines: list[bytes]) -> None:
        for line in lines:
            record = self._as_object(line)
            self._kept += b",%b\n" % record
            self._sizes.append(len(record) + 2)
        excess = 0
        while self._is_too_much(excess):
            excess += self._sizes.popleft()
            self.dropped_records += 1
        del self._kept[:excess]
        self.dropped_bytes += excess

    def _as_object(self, line: bytes) -> bytes:
        record = _decoded(line)
        if record:
            self.contract_error = contract_error(record) or self.contract_error
        if record and _TRACEBACK not in record:
            return line
        record = record or parse_record(line)
        traceback = take_traceback(record)
        if traceback is not None and self._tell_fault is not None:
            self._tell_fault(traceback)
        return msgspec.json.encode(record)

    def _is_too_much(self, excess: int) -> bool:
        """Return whether more records must go, after those in the first `excess` bytes."""
        size = len(self._kept) - excess + _RECORD_OVERHEAD * len(self._sizes)
        return len(self._sizes) > self._max_records or size > self._max_bytes


def parse_record(line: bytes) -> dict[str, Any]:
    """Return the object in a line. A line without one becomes the message of a new object."""
    return _decoded(line) or {"level": "info", "message": line.decode("utf-8", "replace")}


def contract_error(record: dict[str, Any]) -> str | None:
    """Return why the contract failed, as one line, if the record says so."""
    found = record.get(_CONTRACT_ERROR)
    if not isinstance(found, str) or not found:
        return None
    return found[:MAX_CONTRACT_ERROR].replace("\n", " ")


def take_traceback(record: dict[str, Any]) -> str | None:
    """Remove the traceback from a record and return it, or None."""
    found = record.pop(_TRACEBACK, None)
    return None if found is None else str(found)[-MAX_TRACEBACK:]


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        value = _decode(line)
    except NOT_DECODED:
        return None
    return value if isinstance(value, dict) else None

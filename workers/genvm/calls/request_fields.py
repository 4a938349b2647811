"""The fields of a `gl_call` request, checked as they are taken.

Source: docs/spec/06-contracts.md#imports.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from genvm_manager.base.text.durations import parse_duration
from genvm_manager.protocol import calldata

from .sdk import OperationFailed, SdkError

NOTHING = object()


class RequestParser:
    """The map of one request; a missing field or one of another type makes it malformed."""

    def __init__(self, request: Any) -> None:
        if not isinstance(request, dict):
            raise OperationFailed(SdkError.INVAL)
        self._fields = request

    def get(self, name: str, kind: type, absent: Any = NOTHING) -> Any:
        """Return the field, exactly of type `kind`; `absent` where the request has none."""
        found = self._fields.get(name, absent)
        if found is not absent and type(found) is not kind:
            raise OperationFailed(SdkError.INVAL)
        if found is NOTHING:
            raise OperationFailed(SdkError.INVAL)
        return found

    def any(self, name: str) -> Any:
        """Return the field, of any type."""
        if name not in self._fields:
            raise OperationFailed(SdkError.INVAL)
        return self._fields[name]

    def one_of(self, name: str, choices: Collection[str], absent: Any = NOTHING) -> str:
        """Return a field that is one of `choices`."""
        word: str = self.get(name, str, absent)
        if word not in choices:
            raise OperationFailed(SdkError.INVAL)
        return word

    def duration(self, name: str, absent: str) -> str:
        """Return a duration such as `500ms`, as it was written."""
        text: str = self.get(name, str, absent)
        try:
            parse_duration(text)
        except ValueError:
            raise OperationFailed(SdkError.INVAL) from None
        return text

    def u256(self, name: str) -> int:
        """Return a number of at most 256 bits, 0 when absent."""
        number: int = self.get(name, int, 0)
        if not 0 <= number < 1 << 256:
            raise OperationFailed(SdkError.INVAL)
        return number

    def all_bytes(self, name: str) -> list[bytes]:
        """Return a list of bytes, empty when absent."""
        items: list[bytes] = self.get(name, list, [])
        if not all(type(item) is bytes for item in items):
            raise OperationFailed(SdkError.INVAL)
        return items

    def headers(self, name: str) -> dict[str, bytes]:
        """Return a map of bytes, empty when absent."""
        headers: dict[str, bytes] = self.get(name, dict, {})
        if not all(type(value) is bytes for value in headers.values()):
            raise OperationFailed(SdkError.INVAL)
        return headers

    def on(self) -> str:
        """Return `on`, which says when a message is sent."""
        return self.one_of("on", ("finalized", "accepted"), "finalized")

    def call(self) -> bytes:
        """Return the calldata of a call to a contract: bytes, or a value that is encoded here."""
        value = self.any("calldata")
        return value if isinstance(value, bytes) else calldata.encode(value)

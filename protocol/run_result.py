"""The result that an executor hands over, and its canonical hash.

Source: docs/spec/04-executor.md#the-result.

The executor pays for this module's imports at each start, so it keeps to the light ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from . import calldata
from .errors import MalformedMessage

MAX_VALUES = 6 << 20
"""The most calldata values in a result: three for each page, those of emissions and of the data."""


class ResultCode(IntEnum):
    """How a contract call ended, as the first byte of a result."""

    RETURN = 0
    USER_ERROR = 1
    VM_ERROR = 2
    INTERNAL_ERROR = 3


class RunResult(NamedTuple):
    """What `consume_result` carries: one byte `code`, then a map of all the rest.

    `data`: the returned value, or an error's value or code string. `storage_changes`: pairs of
    key (slot 32 bytes + page number u32 big-endian) and that whole 32-byte page. `emissions`: maps
    in order, each with a `type`. Only a return carries the two. `data` and emissions may be
    `calldata.Encoded`.
    """

    code: ResultCode
    data: Any
    execution_hash: bytes
    storage_changes: list[tuple[bytes, bytes]]
    emissions: Sequence[Any]
    nondet_results: list[bytes]
    nondet_disagreement: int | None
    data_fees_remaining: list[Any]
    fingerprint: dict[str, Any] | None

    def encode(self) -> bytes:
        """Return the bytes for `consume_result`."""
        fields = self._asdict()
        code = fields.pop("code")
        return bytes([code]) + calldata.encode(fields, max_values=MAX_VALUES)


_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "execution_hash": (bytes,),
    "storage_changes": (list,),
    "emissions": (list,),
    "nondet_results": (list,),
    "nondet_disagreement": (int, type(None)),
    "data_fees_remaining": (list,),
    "fingerprint": (dict, type(None)),
}

_ABSENT: dict[str, Any] = {
    "execution_hash": b"",
    "storage_changes": [],
    "emissions": [],
    "nondet_results": [],
    "nondet_disagreement": None,
    "data_fees_remaining": [],
    "fingerprint": None,
}


def decode_result(encoded: bytes, max_values: int = MAX_VALUES) -> RunResult:
    """Return the result in the bytes of `consume_result`.

    Unknown fields are ignored, absent ones are empty.

    Raises `MalformedMessage` for anything else, and for more than `max_values` values.
    """
    if not encoded:
        raise MalformedMessage("result: expected a result code byte, got nothing")
    try:
        code = ResultCode(encoded[0])
    except ValueError:
        raise MalformedMessage(f"result: code {encoded[0]} is unknown") from None
    try:
        fields = calldata.decode(encoded[1:], max_values=max_values)
    except calldata.DecodeError as error:
        raise MalformedMessage(f"result: {error}") from error
    if not isinstance(fields, dict) or "data" not in fields:
        raise MalformedMessage("result: expected a map with data")
    known = _ABSENT | {name: fields[name] for name in _FIELD_TYPES if name in fields}
    for name, types in _FIELD_TYPES.items():
        if not isinstance(known[name], types):
            raise MalformedMessage(f"{name}: expected {types[0].__name__}")
    known["storage_changes"] = [_change(pair) for pair in known["storage_changes"]]
    return RunResult(code=code, data=fields["data"], **known)


def _change(pair: Any) -> tuple[bytes, bytes]:
    match pair:
        case [bytes(key), bytes(page)] if len(key) == 36 and len(page) == 32:
            return key, page
    raise MalformedMessage("storage_changes: expected pairs of a 36-byte key and a 32-byte page")


def execution_hash(
    code: ResultCode,
    data: Any,
    storage_changes: list[tuple[bytes, bytes]],
    emissions: Sequence[Any],
) -> bytes:
    """Return the 32 bytes that are equal for equal results on any machine.

    Source: docs/spec/04-executor.md#the-result.
    """
    hashed = {
        "kind": int(code),
        "data": data,
        "storage_changes": storage_changes,
        "emissions": emissions,
    }
    return hashlib.sha3_256(calldata.encode(hashed, max_values=MAX_VALUES)).digest()

"""Turn JSON and calldata into typed structs that may hold addresses; errors name the field."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.validation import (
    NOT_DECODED,
    accept_type,
    describe,
    from_value,
    json_decoder,
)

from .calldata import MAX_VALUES, Address, DecodeError, decode

__all__ = ["from_calldata", "from_json", "from_value"]

T = TypeVar("T")

accept_type(Address, (Address, str, bytes))


def from_json(body: bytes, kind: type[T]) -> T:
    """Return the `kind` in a JSON body: bytes are base64, addresses hex.

    Raises `BadRequest`, which names the field.
    """
    # What they hold costs 70 bytes of memory and more; those inside strings are rarely so many.
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise BadRequest(f"body: more than {MAX_VALUES} values, by its commas and brackets")
    try:
        return json_decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(describe(error, kind)) from None
    except NOT_DECODED as error:
        raise BadRequest(f"body: not JSON: {error}") from None


def from_calldata(body: bytes, kind: type[T]) -> T:
    """Return the `kind` in a calldata body. Raises `BadRequest`, which names the field."""
    try:
        value = decode(body)
    except DecodeError as error:
        raise BadRequest(f"body: not calldata: {error}") from None
    return from_value(value, kind)

"""Turn untrusted values into typed structs, with errors that name the field."""

from __future__ import annotations

import re
import threading
from typing import Any, TypeVar

import msgspec

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.text.secret import Secret

T = TypeVar("T")

_MAX_ERROR = 1000
"""Characters of msgspec's own words; it repeats a wrong value whole."""

NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was asked for."""

_AT = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_NOT_ALLOWED = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)
_EXPECTED = re.compile(r"^Expected ")


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
_making = threading.Lock()


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return the JSON decoder of a struct, made once.

    msgspec finds out about a struct when it is first used, and crashes the process when two threads
    use it first at the same time. So every first use goes through here, one at a time.
    """
    if kind not in _decoders:
        with _making:
            _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_custom_type)
    return _decoders[kind]


def from_value(value: Any, kind: type[T]) -> T:
    """Return the `kind` in a value of plain types. Raises `BadRequest`, which names the field."""
    json_decoder(kind)
    try:
        return msgspec.convert(value, kind, builtin_types=(bytes,), dec_hook=_custom_type)
    except msgspec.ValidationError as error:
        raise BadRequest(describe(error, kind)) from None
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.start + 1]
        raise BadRequest(f"the text {half!a} is half of a surrogate pair, no character") from None


def describe(error: msgspec.ValidationError, kind: type | None = None) -> str:
    """Return a message such as `permits: expected int, got str` for an error of msgspec's."""
    text = str(error)
    if len(text) > _MAX_ERROR:
        text = text[:_MAX_ERROR] + "…" + text[max(text.rfind(" - at `"), _MAX_ERROR) :][:_MAX_ERROR]
    matched = _AT.match(text)
    assert matched is not None
    reason, path = matched["reason"], (matched["path"] or "").removeprefix("$").removeprefix(".")
    if missing := _MISSING.fullmatch(reason):
        name = f"{path}.{missing['name']}" if path else missing["name"]
        return f"{name}: missing"
    wrong = _NOT_ALLOWED.fullmatch(reason)
    if kind is not None and wrong and (allowed := _allowed_values(kind, path)):
        reason = f"expected {', '.join(allowed)}, got {wrong['value']}"
    reason = _EXPECTED.sub("expected ", reason).replace("`", "").replace(" | null", "")
    return f"{path}: {reason}" if path else reason


def _allowed_values(kind: type, path: str) -> list[str]:
    # Executors read no requests, and pay for each import.
    from .allowed_values import allowed_values  # noqa: PLC0415

    with _making:
        return allowed_values(kind, path)


_types: dict[type, tuple[type, ...]] = {Secret: (str,)}


def accept_type(kind: type, values: tuple[type, ...]) -> None:
    """Accept fields of the type `kind`, built by its constructor from a value of one of `values`.

    The constructor raises `ValueError` for a value that is none.
    """
    _types[kind] = values


def _custom_type(kind: type, value: Any) -> Any:
    if isinstance(value, _types.get(kind, ())):
        return kind(value)
    raise ValueError(f"expected {kind.__name__.lower()}, got {type(value).__name__}")

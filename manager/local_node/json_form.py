"""Calldata values as JSON, for arguments and results in a shell.

Calldata has more types than JSON, so these stand for the others:

    {"$address": "0x…"}   an address
    {"$bytes": "0x…"}     bytes in hex, or in base64 without the 0x
    {"$int": "0x…"}       an int in hex; results use it from 4,000 digits on
    {"$map": {…}}         a map whose only key would be read as one of these

All other values are plain JSON: null, true, ints of any size, strings, lists, maps. There are no
floats.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from genvm_manager.protocol.calldata import MAX_DEPTH, Address

_MAX_DIGITS = 4000
"""Digits of the longest decimal: Python and other parsers of JSON refuse longer ones."""

_INT = re.compile(r"-?0x[0-9A-Fa-f]+")
_MAX_DECIMAL = 10**_MAX_DIGITS


class BadJson(ValueError):
    """A text that is not JSON, or JSON that is not calldata; the message names the place."""


def parse(text: str) -> Any:
    """Return the calldata value of a JSON text. Raises `BadJson`."""
    try:
        parsed = json.loads(
            text, parse_float=_refuse_float, parse_constant=_refuse_float, parse_int=_parse_int
        )
    except BadJson:
        raise
    except (ValueError, RecursionError) as error:
        raise BadJson(f"not JSON: {error}") from None
    return _read(parsed, "", 0)


def render(value: Any) -> Any:
    """Return a calldata value in a form for `json.dumps`; `parse` reads it back."""
    match value:
        case Address():
            return {"$address": value.as_hex}
        case bytes():
            return {"$bytes": "0x" + value.hex()}
        case int() if abs(value) >= _MAX_DECIMAL:
            return {"$int": hex(value)}
        case list():
            return [render(item) for item in value]
        case dict():
            entries = {key: render(item) for key, item in value.items()}
            return {"$map": entries} if _is_marked(value) else entries
    return value


def _refuse_float(literal: str) -> NoReturn:
    raise BadJson(f"{literal}: calldata has no floats; pass a string or a scaled int")


def _parse_int(literal: str) -> int:
    if len(literal) > _MAX_DIGITS:
        raise BadJson(f'an int of {len(literal)} digits: write it as {{"$int": "0x…"}}')
    return int(literal)


def _is_marked(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _MARKS


def _read(value: Any, path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise BadJson(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return [_read(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if not _is_marked(value):
        return _read_map(value, path, depth)
    ((mark, content),) = value.items()
    if mark == "$map":
        if not isinstance(content, dict):
            raise BadJson(f"{path}.$map: expected a map".removeprefix("."))
        return _read_map(content, path, depth)
    try:
        return _MARKS[mark](content)
    except (TypeError, ValueError) as error:
        raise BadJson(f"{path}.{mark}: {error}".removeprefix(".")) from None


def _read_map(entries: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
    return {key: _read(item, f"{path}.{key}", depth + 1) for key, item in entries.items()}


def _read_bytes(content: Any) -> bytes:
    if not isinstance(content, str):
        raise TypeError(f"expected a string, got {type(content).__name__}")
    try:
        if content[:2] == "0x":
            return binascii.unhexlify(content[2:])
        return base64.b64decode(content, validate=True)
    except ValueError:
        raise ValueError(f"expected 0x and hex, or base64, got {content[:40]!r}") from None


def _read_int(content: Any) -> int:
    if not isinstance(content, str):
        raise TypeError(f"expected a string, got {type(content).__name__}")
    if not _INT.fullmatch(content):
        raise ValueError(f"expected 0x and hexadecimal digits, got {content[:40]!r}")
    return int(content, 16)


def _read_address(content: Any) -> Address:
    if not isinstance(content, str):
        raise TypeError(f"expected a string, got {type(content).__name__}")
    return Address(content)


_MARKS: dict[str, Callable[[Any], Any]] = {
    "$address": _read_address,
    "$bytes": _read_bytes,
    "$int": _read_int,
    "$map": dict,
}

"""The JSON object in a model's answer, as calldata can hold it.

Source: docs/spec/05-modules.md#llm-requests.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, DecimalException
from typing import Any, NoReturn

MAX_TEXT = 1 << 20
"""Characters of the longest answer that is searched for an object."""

MAX_DEPTH = 64
"""How deep lists and maps in it may nest; calldata allows 128, including the levels around it."""

MAX_WHOLE_DIGITS = 78
"""A whole number written with a fraction or an exponent becomes an int up to this many digits."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_STARTS = 64
"""Opening braces that are tried as the start of an object."""


def object_in(answer: str) -> dict[str, Any]:
    """Return the only JSON object in the answer; text around it, such as a code fence, is ignored.

    Numbers that are not whole become the text that the model wrote, as calldata has no floats:
    `0.5` is `"0.5"`. Raises `ValueError` if there is no object or more than one.
    """
    if len(answer) > MAX_TEXT:
        raise ValueError(f"the answer is longer than {MAX_TEXT} characters")
    try:
        return _calldata_map(_only_object(answer))
    except RecursionError:
        raise ValueError("the answer nests too deep") from None


def _only_object(answer: str) -> dict[str, Any]:
    try:
        whole = _DECODER.decode(answer)
    except ValueError:
        objects = _objects(answer)
    else:
        objects = [whole] if isinstance(whole, dict) else []
    if len(objects) != 1:
        raise ValueError(f"expected one JSON object, found {'more' if objects else 'none'}")
    return objects[0]


def _objects(answer: str) -> list[dict[str, Any]]:
    """Return the outermost objects in a text, at most two."""
    found: list[dict[str, Any]] = []
    at = answer.find("{")
    for _ in range(_MAX_STARTS):
        if at < 0 or len(found) == 2:
            break
        try:
            value, end = _DECODER.raw_decode(answer, at)
        except ValueError:
            end = at + 1
        else:
            found.append(value)
        at = answer.find("{", end)
    return found


def _whole_or_text(literal: str) -> int | str:
    try:
        number = Decimal(literal)
    except DecimalException:
        return literal
    if number.adjusted() < MAX_WHOLE_DIGITS and number == number.to_integral_value():
        return int(number)
    return literal


def _refuse(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


_DECODER = json.JSONDecoder(parse_float=_whole_or_text, parse_constant=_refuse, strict=False)
"""Not strict: models write line breaks in strings unescaped."""


def _calldata_map(entries: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    return {_plain(key): _calldata(value, depth + 1) for key, value in entries.items()}


def _calldata(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        raise ValueError(f"the answer nests deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        return _calldata_map(value, depth)
    if isinstance(value, list):
        return [_calldata(item, depth + 1) for item in value]
    return _plain(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    """Replace lone surrogates (from `\\ud800`), which UTF-8 cannot encode, by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)

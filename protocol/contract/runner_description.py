"""The JSON of a runner description, read alike by every Python.

Source: docs/spec/06-contracts.md#contract-kinds-and-headers.

How deep `json` goes and how long a number it reads differ between versions and settings.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import InvalidContract

MAX_NESTING = 64
"""How deep lists and maps of a description may nest."""

MAX_DESCRIPTION = 1 << 20
"""Characters of the longest description."""

_DECODER = json.JSONDecoder(parse_int=lambda _: 0, parse_float=lambda _: 0.0)
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)
"""A string, whole or cut off, or a bracket."""


def parse_description(text: str, *, is_alone: bool) -> Any:
    """Return the JSON value that `text` begins with, its numbers as 0: none has a meaning.

    With `is_alone` nothing may follow the value. Raises `InvalidContract` for JSON that cannot be
    used, and `ValueError` where there is no JSON.
    """
    start = len(text) - len(text.lstrip())
    if _nesting(text, start) > MAX_NESTING:
        raise _malformed(f"nests deeper than {MAX_NESTING} levels")
    value, end = _DECODER.raw_decode(text, start)
    if is_alone and text[end:].strip():
        raise ValueError("something follows it")
    if end - start > MAX_DESCRIPTION:
        raise _malformed(f"is longer than {MAX_DESCRIPTION} characters")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _malformed("holds half a surrogate pair") from None
    return value


def _malformed(how: str) -> InvalidContract:
    return InvalidContract(f"the runner description {how}", "malformed_runner")


def _nesting(text: str, start: int) -> int:
    """Return how deep the value at `start` nests.

    Raises `ValueError` where its brackets have no end.
    """
    depth = deepest = 0
    for token in _TOKEN.finditer(text, start):
        first = token[0][0]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first != '"':
            depth -= 1
        if depth <= 0:
            return deepest
    if depth:
        raise ValueError("its brackets have no end")
    return deepest

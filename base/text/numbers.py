"""Whole numbers written as text: ASCII digits alone, as no two programs read them differently.

Python's own `int` also takes `1_000`, ` 12 `, `+5` and the digits of every other script.
"""

from __future__ import annotations

import re

_DECIMAL = re.compile(r"[0-9]{1,80}")
_HEXADECIMAL = re.compile(r"0x[0-9A-Fa-f]{1,64}")


def whole_number(text: str, most: int) -> int:
    """Return the number, from 0 to `most`, that decimal digits stand for. Raises `ValueError`."""
    if not _DECIMAL.fullmatch(text) or (number := int(text)) > most:
        raise ValueError(f"expected decimal digits, at most {most}, got {text[:40]!r}")
    return number


def decimal_or_hexadecimal(text: str) -> int:
    """Return the number that decimal digits stand for, or hexadecimal ones after `0x`.

    Raises `ValueError`.
    """
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if not _DECIMAL.fullmatch(text):
        raise ValueError(
            f"expected int in decimal digits, or 0x and hexadecimal ones, got {text[:40]!r}"
        )
    return int(text)

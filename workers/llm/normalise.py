"""Normalises a prompt before a model sees it (docs/spec/05-modules.md#llm-requests).

Texts that look the same become the same, and invisible characters are removed.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

MAX_MARKS = 30
"""Combining marks in a row, as in Unicode's stream-safe text format; the rest is removed.

Putting marks into their canonical order takes time that grows with the square of their number:
80,000 in a row keep a processor busy for 4 s.
"""

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
"""The characters that Unicode calls default-ignorable: they are not visible."""


def normalise(prompt: str) -> str:
    """Return the prompt in NFKC, without invisible characters, and with single spaces.

    Each run of white space becomes one space; there is none at either end.
    """
    if not prompt.isascii():
        prompt = _INVISIBLE.sub("", prompt)
        prompt = unicodedata.normalize("NFKC", _long_runs_of_marks().sub(r"\1", prompt))
    return " ".join(prompt.split())


def without_invisible(text: str) -> str:
    """Return the text without invisible characters, otherwise unchanged."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


@cache
def _long_runs_of_marks() -> re.Pattern[str]:
    every = map(chr, range(0x300, 0x110000))
    marks = "".join(mark for mark in every if unicodedata.combining(mark))
    return re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]+")

"""How a prompt is made plain before a model sees it (docs/spec/05-modules.md#llm-requests).

Two texts that look the same become the same, and nothing that a reader cannot see is left.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

MAX_MARKS = 30
"""Combining marks in a row, as in Unicode's stream-safe text format; those beyond are dropped.

Putting marks into their canonical order takes time that grows with the square of their number:
80,000 in a row keep a processor busy for 4 s.
"""

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
"""What Unicode calls ignorable by default: nothing is to be seen of it."""


def normalise(prompt: str) -> str:
    """The prompt without zero-width characters, in NFKC, each run of white space one space.

    There is none at either end.
    """
    if not prompt.isascii():
        prompt = _INVISIBLE.sub("", prompt)
        prompt = unicodedata.normalize("NFKC", _long_runs_of_marks().sub(r"\1", prompt))
    return " ".join(prompt.split())


def without_invisible(text: str) -> str:
    """The text without zero-width characters, else as it is."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


@cache
def _long_runs_of_marks() -> re.Pattern[str]:
    every = map(chr, range(0x300, 0x110000))
    marks = "".join(mark for mark in every if unicodedata.combining(mark))
    return re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]+")

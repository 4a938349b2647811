"""Durations as people write them: `250ms`, `30s`, `10.5m`, `1h`.

Source: docs/spec/03-run-request.md#the-request.
"""

from __future__ import annotations

import re

_FORM = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Return the seconds of a duration: a number with one of the four suffixes.

    Raises `ValueError`, which does not show the text: it may be a key in the wrong place.
    """
    matched = _FORM.fullmatch(text)
    if matched is None:
        raise ValueError("expected a duration such as 250ms, 30s, 10.5m or 1h")
    return float(matched[1]) * _SECONDS[matched[2]]

"""Points in time as RFC 3339 text."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_rfc3339(text: str) -> datetime:
    """Return the aware time that `text` names. Raises `ValueError` without an offset."""
    try:
        parsed = datetime.fromisoformat(text.upper()) if _FORM.fullmatch(text) else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise ValueError(f"expected RFC 3339 such as 2026-01-31T12:00:00Z, got {text[:60]!r}")
    return parsed


def to_rfc3339(seconds: float) -> str:
    """Return seconds since 1970 as text: UTC with milliseconds and a `Z`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

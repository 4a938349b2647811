"""Points in time as RFC 3339 text."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_rfc3339(text: str) -> datetime:
    """The aware time that `text` names. Raises `ValueError` when it is none or has no offset."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise ValueError(f"expected RFC 3339 such as 2026-01-31T12:00:00Z, got {text[:60]!r}")
    return parsed


def to_rfc3339(seconds: float) -> str:
    """UTC with milliseconds and a `Z`, from seconds since 1970."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Formats durations, sizes and counts for people."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from genvm_manager.base.text.printable import printable_json

NONE = "-"
"""Stands for a value that is unknown or does not apply."""


def json_text(value: Any) -> str:
    """Return one line of JSON without characters that control a terminal."""
    return printable_json(msgspec.json.encode(value).decode("utf-8", "surrogatepass"))


def span(seconds: float | None) -> str:
    """Format a duration: `48ms`, `1.3s`, `12s`, `5m07s`, `3h25m`, `2d04h`."""
    if seconds is None:
        return NONE
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def size(count: int | None) -> str:
    """Format bytes: `812 B`, `46 MiB`, `1.4 GiB`."""
    if count is None:
        return NONE
    figure = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if figure < 1000 or unit == "GiB":
            break
        figure /= 1024
    return f"{figure:.0f} {unit}" if figure >= 10 or unit == "B" else f"{figure:.1f} {unit}"


def count(number: int, noun: str) -> str:
    """Format a number of things: `1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def dim(text: str) -> str:
    """Return the text in a dim style."""
    return click.style(text, dim=True)

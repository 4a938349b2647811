"""What a worker shows of itself."""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """`name` is `llm` or `web`, `place` the state folder."""

    name: str
    place: str

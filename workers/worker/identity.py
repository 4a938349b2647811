"""What a worker shows in its process title."""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """Whose worker it is: `name` is `llm` or `web`, `place` the state folder."""

    name: str
    place: str

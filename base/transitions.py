"""State machines as tables: from each state, the states that may follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

S = TypeVar("S")


def advanced(subject: str, allowed: Mapping[S, frozenset[S]], state: S, to: S) -> S:
    """Return `to` when `subject` may go there from `state`.

    Raises `RuntimeError`, which nobody catches, when the table does not know the move: that is a
    mistake in this program.
    """
    if to not in allowed[state]:
        raise RuntimeError(f"{subject} cannot go from {state} to {to}")
    return to

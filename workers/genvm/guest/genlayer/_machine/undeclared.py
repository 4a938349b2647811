"""Warns of attributes that no field declares, whose values are not stored.

It is loaded when a contract sets the first one. A warning goes to stderr and changes no result.
"""

from __future__ import annotations

import sys

from .tracebacks import frame_line, is_of_contract, write_to_stderr

MAX_WARNINGS = 20
"""Attributes that one run warns of."""

_told: set[tuple[type, str]] = set()


def warn_of_attribute(owner: type, name: str) -> None:
    """Warn once that instances of `owner` have no field of this name, with the contract's line."""
    if (owner, name) in _told or len(_told) == MAX_WARNINGS:
        return
    _told.add((owner, name))
    frame = sys._getframe(1)
    while frame is not None and not is_of_contract(frame.f_code.co_filename):
        frame = frame.f_back
    write_to_stderr(
        f"Warning: {owner.__name__} declares no field {name}: the value is not stored. To keep it, "
        f"write `{name}: <type>` in the class; to use it in this run only, ignore this.\n"
        + ("" if frame is None else frame_line(frame))
    )

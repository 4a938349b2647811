"""Names a contract's file as its author does, where an executor calls it `contract.py`.

The executor's own name for it is part of what contracts can see, and so is the same on any machine.
"""

from __future__ import annotations

_FRAME = '  File "{}", line '
_PLACE = "({}:"
_NAME = "contract.py"


def with_file_name(text: str, name: str | None) -> str:
    """Return a traceback, or a sentence that ends with a place, under the name of the file.

    None stands for a contract whose file is not known.
    """
    if name is None:
        return text
    before, place, after = text.replace(_FRAME.format(_NAME), _FRAME.format(name)).rpartition(
        _PLACE.format(_NAME)
    )
    return f"{before}{_PLACE.format(name) if place else place}{after}"

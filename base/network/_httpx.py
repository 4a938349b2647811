"""httpx without a command line of its own.

httpx imports that one wherever rich and click are installed, as they are here: 90 ms and 6 MB in
each of our processes, for a program that none of them runs. Where it cannot have it, it does
without.
"""

from __future__ import annotations

import sys

_ITS_COMMAND_LINE = "httpx._main"

if _ITS_COMMAND_LINE not in sys.modules:
    sys.modules[_ITS_COMMAND_LINE] = None  # type: ignore[assignment]  # so its import fails

import httpx  # noqa: E402

if sys.modules[_ITS_COMMAND_LINE] is None:
    del sys.modules[_ITS_COMMAND_LINE]

__all__ = ["httpx"]

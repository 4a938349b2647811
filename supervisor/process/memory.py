"""How this process's memory is had from the system."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE = 256 << 10
"""Bytes. Pipes are read in smaller pieces; outputs, results and replies may be larger."""


def give_memory_back() -> None:
    """Have what is large returned to the system as soon as it is freed.

    glibc would soon keep it: it raises its own threshold to the largest block that was ever freed,
    up to 32 MiB, and then finds no use for the holes. Where there is another libc, do nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)

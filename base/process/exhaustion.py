"""Refusals of the system that pass: it has no process, memory or descriptor to spare just now."""

from __future__ import annotations

import errno

EX_TEMPFAIL = 75
"""Exit code of a process that could not start for such a reason: start it again later."""

_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS})


def is_exhaustion(error: BaseException | None) -> bool:
    """Whether the same call may succeed later, with nothing changed by anybody here."""
    return isinstance(error, OSError) and error.errno in _PASSING

"""Refusals that pass: the system has no process, memory or descriptor to spare at the moment."""

from __future__ import annotations

import errno

EX_TEMPFAIL = 75
"""Exit code of a process that could not start for such a reason: start it again later."""

_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS})


def is_exhaustion(error: BaseException | None) -> bool:
    """Return whether the same call may succeed later although nothing is changed here."""
    return isinstance(error, OSError) and error.errno in _PASSING

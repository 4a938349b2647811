"""Signals as a process finds them at its start, when some may be ignored or blocked.

A disposition "ignored" and the mask of blocked signals survive exec, so a process inherits them
from `nohup`, a script's background job, cron or a careless launcher.
"""

from __future__ import annotations

import os
import signal
import sys

ALL_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
"""All signals that can be set to their default in a child, as by `os.posix_spawn(setsigdef=…)`."""

_TERMINAL = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}
"""What a terminal sends; `nohup` and shells have these ignored on purpose."""

_IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Python has these ignored in every process."""


def settle_signals(*held: signal.Signals) -> None:
    """Unblock all signals, and set ignored ones to their default, except what a terminal sends.

    `held` are blocked instead, until the process handles them.

    Call it first in a process: SIGTERM must work, and children must be reaped. The first process
    of a container gets a handler for SIGTERM, since for it the kernel's default is to ignore.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    for number in ALL_SIGNALS:
        if (
            number not in _TERMINAL | _IGNORED_BY_PYTHON
            and signal.getsignal(number) is signal.SIG_IGN
        ):
            signal.signal(number, signal.SIG_DFL)
    if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def is_ignored(number: signal.Signals) -> bool:
    """Return whether this process ignores the signal."""
    return signal.getsignal(number) is signal.SIG_IGN


def heeded(*numbers: signal.Signals) -> tuple[signal.Signals, ...]:
    """Return those of the signals that this process does not ignore."""
    return tuple(number for number in numbers if not is_ignored(number))

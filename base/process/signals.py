"""Signals as a process of ours finds them: some may be ignored or blocked by whoever started it.

A disposition "ignored" and the mask of blocked signals survive exec, so they come from `nohup`, a
script's background job, cron or a careless launcher.
"""

from __future__ import annotations

import os
import signal
import sys

ALL_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
"""All that can be set to their default in a child, as by `os.posix_spawn(setsigdef=…)`."""

_MEANT = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}
"""What nohup and shells have ignored on purpose: what a terminal sends."""

_PYTHONS = {signal.SIGPIPE, signal.SIGXFSZ}
"""Python ignores these in every process."""


def settle_signals() -> None:
    """Unblock all signals, and set those that were ignored to their default, but for what a
    terminal sends. Call it first in a process: SIGTERM must work, and children must be reaped.

    The first process of a container gets a handler for SIGTERM: for it the default is to ignore.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in ALL_SIGNALS:
        if number not in _MEANT | _PYTHONS and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def is_ignored(number: signal.Signals) -> bool:
    """Whether this process ignores the signal."""
    return signal.getsignal(number) is signal.SIG_IGN


def heeded(*numbers: signal.Signals) -> tuple[signal.Signals, ...]:
    """Those of the signals that this process does not ignore."""
    return tuple(number for number in numbers if not is_ignored(number))

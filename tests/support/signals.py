"""Signals as a process has them, and commands that are started with some of them ignored."""

from __future__ import annotations

import signal
from pathlib import Path

from genvm_manager.base.process.signals import settle_signals

TERMINALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)


def ignoring(*numbers: signal.Signals) -> list[str]:
    """Return words that start the command after them with these signals ignored."""
    names = " ".join(number.name.removeprefix("SIG") for number in numbers)
    return ["/bin/sh", "-c", f"trap '' {names}; exec \"$@\"", "sh"]


def ignored(pid: int) -> set[signal.Signals]:
    """Return the signals with a name that a process ignores."""
    return _signals(pid, "SigIgn")


def blocked(pid: int) -> set[signal.Signals]:
    """Return the signals that a process blocks."""
    return _signals(pid, "SigBlk")


def caught(pid: int) -> set[signal.Signals]:
    """Return the signals for which a process has handlers."""
    return _signals(pid, "SigCgt")


def start_with_defaults() -> None:
    """Have what this process starts find all signals at their defaults, whatever we were started
    with. What was ignored does nothing here all the same: a handler does not survive exec."""
    settle_signals()
    for number in TERMINALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def _signals(pid: int, kind: str) -> set[signal.Signals]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (mask,) = (int(line.split()[1], 16) for line in lines if line.startswith(f"{kind}:"))
    return {number for number in signal.Signals if mask & (1 << (number - 1))}

"""How a process or a run ended, in words: the one place for logs, HTTP and the command line."""

from __future__ import annotations

from signal import Signals

from .ipc.runs import Cause, Exit

_NAMES = {int(known): known.name for known in Signals}

_CAUSES = {
    Cause.CANCELLED: "cancelled",
    Cause.DEADLINE: "stopped at its deadline",
    Cause.MEMORY: "stopped for want of memory",
    Cause.SHUTDOWN: "stopped with the supervisor",
    Cause.LOST: "lost",
}


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9, and `signal 34` for a signal that has no name of its own."""
    return _NAMES.get(number, f"signal {number}")


def describe_exit(end: Exit) -> str:
    """Return what follows the name of a process: `was ended by SIGKILL`, `ended with exit code 1`.

    Only say that it ended when neither the exit code nor the signal is known.
    """
    if end.signal is not None:
        return f"was ended by {signal_name(end.signal)}"
    return "ended" if end.code is None else f"ended with exit code {end.code}"


def describe_run_end(
    cause: Cause, end: Exit, *, after: str | None = None, reason: str | None = None
) -> str:
    """Return how a run ended: `exited with code 0 after 1.2s`, `cancelled by SIGTERM`.

    `after` is how long it ran, in words; `reason` is appended as it is, so a caller whose reader
    is a terminal passes it through `printable` first.
    """
    if end.signal is not None:
        text = f"{_CAUSES.get(cause, 'ended')} by {signal_name(end.signal)}"
    else:
        text = _CAUSES.get(cause, "exited")
        if end.code is not None:
            text += f" with code {end.code}"
    if after is not None:
        text += f" after {after}"
    return text if reason is None else f"{text}: {reason}"

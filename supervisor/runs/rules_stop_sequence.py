"""How a run is stopped: ask, then insist (docs/spec/03-run-request.md#life)."""

from __future__ import annotations

from dataclasses import dataclass
from signal import Signals

REAP_TIMEOUT = 10.0
"""Seconds after SIGKILL in which a process must be gone; a longer wait is reported, not waited."""

SHUTDOWN_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL when the supervisor stops."""


@dataclass(frozen=True, slots=True)
class StopStep:
    """Send `signal`, `delay` seconds after the stop was asked for."""

    signal: Signals
    delay: float


def stop_sequence(grace: float) -> tuple[StopStep, ...]:
    """SIGTERM now and SIGKILL after `grace` seconds; without grace SIGKILL now."""
    if grace <= 0:
        return (StopStep(Signals.SIGKILL, 0.0),)
    return (StopStep(Signals.SIGTERM, 0.0), StopStep(Signals.SIGKILL, grace))

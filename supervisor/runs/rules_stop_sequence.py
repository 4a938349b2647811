"""How a run is stopped: ask, then insist (docs/spec/03-run-request.md#life)."""

from __future__ import annotations

from dataclasses import dataclass
from signal import Signals

REAP_PATIENCE = 10.0
"""Seconds after SIGKILL in which a process must be gone; a longer wait is reported, not waited."""

SHUTDOWN_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL when the supervisor stops."""


@dataclass(frozen=True, slots=True)
class Rung:
    """Send `signal`, `delay` seconds after the stop was asked for."""

    signal: Signals
    delay: float


def ladder(grace: float) -> tuple[Rung, ...]:
    """SIGTERM now and SIGKILL after `grace` seconds; without grace SIGKILL now."""
    if grace <= 0:
        return (Rung(Signals.SIGKILL, 0.0),)
    return (Rung(Signals.SIGTERM, 0.0), Rung(Signals.SIGKILL, grace))

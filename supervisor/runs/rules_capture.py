"""How much of a run's output is kept, for each value of `Capture`.

Source: docs/spec/03-run-request.md#the-request.
"""

from __future__ import annotations

from dataclasses import dataclass

from genvm_manager.protocol.ipc.runs import Capture

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """Bytes of stdout and of stderr, and records and bytes of the log."""

    stream_bytes: int
    log_records: int
    log_bytes: int


LIMITS: dict[Capture, CaptureLimits | None] = {
    Capture.NOTHING: None,
    Capture.BRIEF: CaptureLimits(4 * _MIB, 128, 4 * _MIB),
    Capture.TAIL: CaptureLimits(4 * _MIB, 10_000, 16 * _MIB),
    Capture.EVERYTHING: CaptureLimits(64 * _MIB, 1_000_000, 64 * _MIB),
}
"""None: stdout and stderr are dropped, the executor's log goes to our log."""

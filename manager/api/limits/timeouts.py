"""How long a client may take to send its request and to take in the reply."""

from __future__ import annotations

HEAD_TIMEOUT = 10.0
"""Seconds from a request's first chance to come until its head is whole."""

STALL_TIMEOUT = 10.0
"""Seconds that a body may make no progress at all."""

TRANSFER_TIMEOUT = 30.0
"""Seconds for a body or a reply, beyond what `SLOWEST` takes for its size."""

SLOWEST = 64 << 10
"""Bytes per second that a client is expected to manage."""

DRAIN_TIMEOUT = 1.0
"""Seconds for a body that nobody wants, until the connection is closed instead."""


def reply_timeout(size: int) -> float:
    """Seconds in which a client must take in a reply of so many bytes."""
    return TRANSFER_TIMEOUT + size / SLOWEST

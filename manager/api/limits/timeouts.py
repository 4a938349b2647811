"""Timeouts for a client to send its request and to receive the reply."""

from __future__ import annotations

HEAD_TIMEOUT = 10.0
"""Seconds from the connection, or the reply before, until a request's head is complete."""

STALL_TIMEOUT = 10.0
"""Seconds during which a body may make no progress."""

TRANSFER_TIMEOUT = 30.0
"""Seconds for a body or a reply, beyond the time that its size takes at `SLOWEST`."""

SLOWEST = 64 << 10
"""Bytes per second that a client has to manage."""

DRAIN_TIMEOUT = 1.0
"""Seconds to read and discard the rest of a body; after that the connection is closed."""


def reply_timeout(size: int) -> float:
    """Return the seconds in which a client must receive a reply of `size` bytes."""
    return TRANSFER_TIMEOUT + size / SLOWEST

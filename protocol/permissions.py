"""The permissions of a run, each of which is one letter (docs/spec/03-run-request.md#the-request).

The executor pays for this module's imports at each start, so it imports nothing.
"""

from __future__ import annotations

READ, WRITE, SEND, CALL, NONDET, REGISTER = "rwscnu"
"""Read storage, write storage, send messages, call other contracts, run nondet blocks, and
register runners. This project's executor knows no use of the last."""

ALL_PERMISSIONS = READ + WRITE + SEND + CALL + NONDET + REGISTER

DEFAULT_PERMISSIONS = READ + WRITE + SEND + CALL + NONDET
"""What a run may do when its request does not say."""

"""Why the service is not ready yet: memory that `serve` writes and HTTP's processes read."""

from __future__ import annotations

import os
import time

import msgspec

_SIZE = 2048
_READS = 3


class Pending(msgspec.Struct, frozen=True):
    """What is waited for, and since when by the monotonic clock; both None when nothing is."""

    reason: str | None = None
    since: float | None = None


class Readiness:
    """One file in memory with a `Pending` in it, shared by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Use `descriptor`, which `create` made here or in a process that handed it down."""
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> Readiness:
        """Return one that waits for nothing."""
        readiness = cls(os.memfd_create("genvm-readiness"))
        readiness.wait_for(None)
        return readiness

    def wait_for(self, reason: str | None, since: float | None = None) -> None:
        """Set what the service waits for from now on; None when it waits for nothing."""
        content = msgspec.json.encode(Pending(reason, since)).ljust(_SIZE)
        os.pwrite(self.descriptor, content, 0)

    def reason(self) -> str | None:
        """Return what is waited for, and for how long so far; None when nothing is."""
        for _ in range(_READS):
            try:
                pending = msgspec.json.decode(os.pread(self.descriptor, _SIZE, 0), type=Pending)
            except msgspec.DecodeError:
                # It is being written this very moment.
                continue
            if pending.reason is None or pending.since is None:
                return pending.reason
            return f"{pending.reason}, {time.monotonic() - pending.since:.0f} s so far"
        return "the service is starting"

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

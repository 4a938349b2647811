"""Reading a request's bytes for as long as they keep coming."""

from __future__ import annotations

import time

from gunicorn.http.errors import LimitRequestHeaders  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]

from genvm_manager.manager.api.limits.timeouts import SLOWEST, STALL_TIMEOUT


class BoundedUnreader(SocketUnreader):  # type: ignore[misc]
    """Reads a client's bytes for as long as they keep coming; else it raises `TimeoutError`."""

    _deadline: float | None = None

    def expect_head(self) -> None:
        """Read no byte from now on: the buffer holds a whole head, or one that is too long, for
        which `chunk` then raises `LimitRequestHeaders`.
        """
        self._deadline = None

    def allow(self, seconds: float) -> None:
        """Read for `seconds` from now on, and longer by what each byte takes at `SLOWEST`."""
        self._deadline = time.monotonic() + seconds

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes, empty at the end of the stream. Raises `TimeoutError`."""
        if self._deadline is None:
            raise LimitRequestHeaders("its head is too long")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(min(left, STALL_TIMEOUT))
        received: bytes = super().chunk(size_hint)
        self._deadline += len(received) / SLOWEST
        return received

"""Reading a request's bytes for as long as they keep coming."""

from __future__ import annotations

import time

from gunicorn.http.errors import LimitRequestHeaders  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]

from genvm_manager.manager.api.limits.timeouts import SLOWEST, STALL_TIMEOUT


class PatientUnreader(SocketUnreader):  # type: ignore[misc]
    """The bytes of a client, for as long as they keep coming; `TimeoutError` when they do not."""

    _deadline: float | None = None

    def expect_head(self) -> None:
        """From now on, no byte is read: what is kept has a whole head, or begins one that is too
        long, as `LimitRequestHeaders` then says."""
        self._deadline = None

    def allow(self, seconds: float) -> None:
        """From now on, so long and as long again as what comes takes at `SLOWEST`."""
        self._deadline = time.monotonic() + seconds

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self._deadline is None:
            raise LimitRequestHeaders("its head is too long")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(min(left, STALL_TIMEOUT))
        received: bytes = super().chunk(size_hint)
        self._deadline += len(received) / SLOWEST
        return received

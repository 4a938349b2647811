"""One client of `/events`, and the thread that serves it."""

from __future__ import annotations

import os
import select
import socket

from genvm_manager.base.errors import ManagerError
from genvm_manager.manager.api.limits.timeouts import reply_timeout

from .status_view import StatusView

STREAM_PATH = "/events"

HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent, so that proxies keep the connection and
both sides notice when it is lost."""

_COMMENT = b":\n\n"


class Subscriber:
    """Passes views from the thread that watches to the thread that serves one client.

    Only the newest view is kept: a slow client misses some, and gets a complete one next.
    """

    def __init__(self, caller: socket.socket | None) -> None:
        """Take the client's socket as `caller`; None when there is none to watch."""
        self._caller = caller
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._newest: StatusView | None = None
        self._sent = -1
        self._error: ManagerError | None = None
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        if caller is not None:
            self._poll.register(caller, select.POLLRDHUP)

    def show(self, view: StatusView) -> None:
        """Set the newest view, and wake the thread that waits for it."""
        self._newest = view
        os.eventfd_write(self._bell, 1)

    def end(self, error: ManagerError) -> None:
        """End the stream with an error."""
        self._error = error
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Release the descriptor; no other method may be called afterwards."""
        os.close(self._bell)

    def next(self) -> bytes | None:
        """Return what to send next; None when the client is gone. Raises the error of `end`."""
        ready = [descriptor for descriptor, _ in self._poll.poll(HEARTBEAT * 1000)]
        if self._bell in ready:
            os.eventfd_read(self._bell)
        elif ready:
            return None
        if self._error is not None:
            raise self._error
        event = self._event(self._newest) if ready and self._newest else _COMMENT
        if self._caller is not None:
            self._caller.settimeout(reply_timeout(len(event)))
        return event

    def _event(self, view: StatusView) -> bytes:
        is_next = view.number == self._sent + 1 and self._sent >= 0
        self._sent = view.number
        return view.change if is_next else view.whole

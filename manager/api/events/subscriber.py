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
"""Seconds of silence after which something is sent, so that whatever stands in between keeps the
connection, and both sides notice when it is lost."""

_COMMENT = b":\n\n"


class Subscriber:
    """Is shown views by one thread and hands them to another, which waits for them.

    Only the newest is kept: a client that is slow misses some, and gets a whole one next.
    """

    def __init__(self, caller: socket.socket | None) -> None:
        """`caller`: the client's connection; None where there is none to be watched."""
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
        """There is a new view."""
        self._newest = view
        os.eventfd_write(self._bell, 1)

    def end(self, error: ManagerError) -> None:
        """There will be no more, and why."""
        self._error = error
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Nobody may show anything any more."""
        os.close(self._bell)

    def next(self) -> bytes | None:
        """What to send next; None once the client is gone. Raises what the stream ended with."""
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

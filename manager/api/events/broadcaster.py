"""The supervisor's status for all subscribers in this worker, requested once for all of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from genvm_manager.base.errors import ManagerError, Unavailable
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.process.threads import start_thread
from genvm_manager.protocol.ipc.status import Status

from .status_view import StatusView
from .subscriber import Subscriber

WAIT = 30.0
"""Seconds after which the supervisor answers although nothing has changed."""

OVER = Unavailable("this worker is being replaced; connect again")
"""The reason for which a worker that retires ends its streams."""

log = event_log(__name__)


class StatusBroadcaster:
    """Watches the status in a thread of its own while there are subscribers.

    When the supervisor is lost or this worker stops, all streams end; a client connects again.
    """

    def __init__(self, watch: Callable[[int, float], Status]) -> None:
        """Take `watch`, which returns the status: when its revision is not the given one, or after
        the given seconds.
        """
        self._watch = watch
        self._lock = threading.Lock()
        self._subscribers: set[Subscriber] = set()
        self._view: StatusView | None = None
        self._is_watching = False
        self.is_over = False
        """Whether new streams, too, should end once they have begun."""

    def retire(self) -> None:
        """End all streams, so that their clients connect to another worker."""
        self.is_over = True
        with self._lock:
            for subscriber in self._subscribers:
                subscriber.end(OVER)

    @contextmanager
    def subscriber(self, caller: socket.socket | None) -> Iterator[Subscriber]:
        """Enter a context with a subscriber, which gets each new view."""
        subscriber = Subscriber(caller)
        with self._lock:
            self._subscribers.add(subscriber)
            if self._view is not None:
                subscriber.show(self._view)
        try:
            self._require_watch()
            yield subscriber
        finally:
            with self._lock:
                self._subscribers.discard(subscriber)
            subscriber.close()

    def _require_watch(self) -> None:
        """Start to watch, if nothing does. Raises `Unavailable` when no thread can be started."""
        with self._lock:
            if not self._is_watching:
                thread = threading.Thread(target=self._follow, name="status-feed", daemon=True)
                try:
                    start_thread(thread)
                except OSError as error:
                    raise Unavailable(
                        f"the status cannot be followed now: {error.strerror}"
                    ) from None
                self._is_watching = True

    def _follow(self) -> None:
        try:
            view = StatusView(self._watch(0, WAIT))
            while self._show(view):
                view = self._next(view)
        except ManagerError as error:
            self._end(error)
        except Exception:
            log.failure("status_broadcast_failed")
            self._end(ManagerError("internal error; the service's log says more"))

    def _next(self, view: StatusView) -> StatusView:
        """Return the next view that differs, or `view` itself when nothing has changed."""
        status = self._watch(view.status.revision, WAIT)
        following = StatusView(status, view)
        if following.change:
            return following
        view.status = status
        return view

    def _show(self, view: StatusView) -> bool:
        """Show a view to all subscribers; return False when there is none, and watching stops."""
        with self._lock:
            if not self._subscribers:
                self._view = None
                self._is_watching = False
                return False
            if view is not self._view:
                self._view = view
                for subscriber in self._subscribers:
                    subscriber.show(view)
            return True

    def _end(self, error: ManagerError) -> None:
        with self._lock:
            self._view = None
            self._is_watching = False
            for subscriber in self._subscribers:
                subscriber.end(error)

"""The supervisor's status for all who follow it in this worker: asked for once, however many."""

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
"""Seconds that the supervisor waits for a change before it answers all the same."""

OVER = Unavailable("this worker makes way for another one; come again")
"""Why streams end that would not end by themselves."""

log = event_log(__name__)


class StatusBroadcaster:
    """Watches the status while somebody follows, in a thread of its own.

    When the supervisor is lost, or this worker stops, all streams end; who comes next begins anew.
    """

    def __init__(self, watch: Callable[[int, float], Status]) -> None:
        """`watch` gives the status when it has another revision than that, or after seconds."""
        self._watch = watch
        self._lock = threading.Lock()
        self._followers: set[Subscriber] = set()
        self._view: StatusView | None = None
        self._is_watching = False
        self.is_over = False
        """Whether new streams, too, should end once they have begun."""

    def retire(self) -> None:
        """End all streams: their clients come again, and find another worker."""
        self.is_over = True
        with self._lock:
            for subscriber in self._followers:
                subscriber.end(OVER)

    @contextmanager
    def subscriber(self, caller: socket.socket | None) -> Iterator[Subscriber]:
        """Somebody who is shown each new view, while the context is entered."""
        subscriber = Subscriber(caller)
        with self._lock:
            self._followers.add(subscriber)
            if self._view is not None:
                subscriber.show(self._view)
        try:
            self._require_watch()
            yield subscriber
        finally:
            with self._lock:
                self._followers.discard(subscriber)
            subscriber.close()

    def _require_watch(self) -> None:
        """Have somebody watch. Raises `Unavailable` when the system has no thread to spare."""
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
        """The next view that looks different, or the same one when nobody has changed anything."""
        status = self._watch(view.status.revision, WAIT)
        following = StatusView(status, view)
        if following.change:
            return following
        view.status = status
        return view

    def _show(self, view: StatusView) -> bool:
        """Show it to those who do not have it. False: nobody is there, and we have stopped."""
        with self._lock:
            if not self._followers:
                self._view = None
                self._is_watching = False
                return False
            if view is not self._view:
                self._view = view
                for subscriber in self._followers:
                    subscriber.show(view)
            return True

    def _end(self, error: ManagerError) -> None:
        with self._lock:
            self._view = None
            self._is_watching = False
            for subscriber in self._followers:
                subscriber.end(error)

"""gunicorn's threaded worker as this service needs it: quick to stop, patient within bounds.

A connection costs a thread only while a whole head of a request is there to be served. Until then,
and after its last reply, it is kept by the main loop.
"""

from __future__ import annotations

import errno
import os
import select
import selectors
import signal
import socket
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]
from setproctitle import getproctitle, setproctitle

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.process.signals import is_ignored
from genvm_manager.manager.api.events.subscriber import STREAM_PATH
from genvm_manager.manager.api.limits.timeouts import (
    DRAIN_TIMEOUT,
    HEAD_TIMEOUT,
    TRANSFER_TIMEOUT,
)

from .gunicorn_errors import answer_error
from .request_threads import RequestThreads
from .unreader import PatientUnreader

log = event_log(__name__)

MAX_UNREAD = 64 << 10
"""Bytes of an unread body that gunicorn reads itself to keep the connection."""

MAX_HEAD = 288 << 10
"""Bytes; more than gunicorn's own limits allow a request line and all headers together."""

CLOSE_GRACE = 2.0
"""Seconds for a client to close its side too, so that it surely receives our last reply."""

MAX_CLOSING = 256
"""Connections that may wait for their clients to close them; then the oldest are cut off."""

REFUSAL_WAIT = 0.05
"""Seconds for the request of a client that is refused for want of descriptors."""

STOP_GRACE = 0.5
"""Seconds, when we stop, for a new connection to send what is on its way; then it is closed."""

RETIRE = signal.SIGUSR2
"""Tells a worker to take no new connection and to end once the last one that it has is done."""

STOPS = (signal.SIGINT, signal.SIGQUIT)
"""What a terminal sends to stop us, unless whoever started us had it ignored."""

TOLD = (signal.SIGTERM, signal.SIGQUIT, RETIRE)
"""What the master sends; it forks workers with these blocked, and they unblock them."""


def begin_request(worker: Any, req: Any) -> None:
    """Before each request: its body has its time from now on.

    Say in the reply that the connection closes, where it may have to: gunicorn closes it without a
    word when the application leaves much of a body unread, as an error does; a client that sends
    its next request then gets no answer. A worker that retires wants to be rid of it. A stream is
    the last on its connection: who comes again may be for another worker.
    """
    req.unreader.allow(TRANSFER_TIMEOUT)
    if worker.is_retired or req.path == STREAM_PATH:
        req.force_close()
    for name, value in req.headers:
        if name == "TRANSFER-ENCODING" or (name == "CONTENT-LENGTH" and int(value) >= MAX_UNREAD):
            req.force_close()


NO_THREAD = Unavailable("the system has no thread to spare for this request; try again")


class ServiceWorker(ThreadWorker):  # type: ignore[misc]
    """Its application has `stop_waiting()`, which ends requests that wait for something, and
    `retire()`, which ends those alone that have no end of their own."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lingering: deque[Any] = deque()
        self._has_room = True
        self._spare: int | None = None
        self.is_retired = False
        self.retired_by: int | None = None
        """The reload that ended its time; only the master knows, who has this object too."""

    # ------------------------------------------------------------------------------- connections

    def accept(self, listener: Any) -> None:
        """Take a new connection. When there is no room, `murder_pending` makes some."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._has_room = False
            if self.keepalived_conns or self.pending_conns:
                log.warning("silent_connection_dropped", reason=error.strerror)
            else:
                self._refuse_one(listener, error)
        if self.nr_conns >= self.worker_connections:
            self._has_room = False

    def init_process(self) -> None:
        self._spare = _open_spare()
        try:
            super().init_process()
        finally:
            # It returns or raises when the worker ends. Threads that are idle would keep it.
            self.tpool.shutdown()

    def get_thread_pool(self) -> RequestThreads:
        """The threads that serve requests."""
        return RequestThreads(self.cfg.threads)

    def _refuse_one(self, listener: Any, reason: OSError) -> None:
        """Answer 503 on the one descriptor that is kept for it: nobody waits for nothing."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                if select.select([client], [], [], REFUSAL_WAIT)[0]:
                    # What is not read when it closes would take the answer from the client.
                    _receive(client)
                answer_error(client, reason)
                client.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            self._spare = _open_spare()

    def enqueue_req(self, conn: Any) -> None:
        """Have a thread serve the connection, now or once the head of a request is whole."""
        if not conn.initialized:
            conn.init()
            conn.parser.unreader = PatientUnreader(conn.sock)
        conn.head = bytearray(conn.parser.unreader.take_buffered())
        conn.timeout = time.monotonic() + HEAD_TIMEOUT
        conn.sock.setblocking(False)
        if _is_whole(conn.head):
            self._serve(conn)
        elif not self._take_head(conn):
            self.pending_conns.append(conn)
            on_readable = partial(self.on_pending_socket_readable, conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, on_readable)

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:
        """Read on; once there is nothing more to wait for, the main loop forgets it."""
        descriptor = client.fileno()
        if self._take_head(conn):
            self.poller.unregister(descriptor)
            self.pending_conns.remove(conn)

    def _take_head(self, conn: Any) -> bool:
        """Whether the head is whole, and a thread has it, or will never be."""
        seen = len(conn.head)
        try:
            received = _receive(conn.sock)
        except BlockingIOError:
            return False
        conn.head += received
        if received and not _is_whole(conn.head, seen):
            return False
        if received:
            self._serve(conn)
        else:
            self.nr_conns -= 1
            conn.close()
        return True

    def _serve(self, conn: Any) -> None:
        conn.parser.unreader.expect_head()
        conn.parser.unreader.unread(bytes(conn.head))
        conn.head.clear()
        served: Future[Any] = Future()
        served.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )
        try:
            self.tpool.submit(lambda: self._handle_for(served, conn))
        except RuntimeError:
            served.cancel()

    def _handle_for(self, served: Future[Any], conn: Any) -> None:
        """In a thread, for a request that was not refused one."""
        try:
            served.set_result(self.handle(conn))
        except BaseException as error:
            served.set_exception(error)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """In the main loop, after each request."""
        if fs.cancelled():
            answer_error(conn.sock, NO_THREAD)
        if fs.cancelled() or fs.exception() or not fs.result():
            self.nr_conns -= 1
            self._linger(conn)
            return
        super().finish_request(conn, fs)
        if not self.alive:
            conn.timeout = 0.0

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Whether the connection can serve another request: not if its body does not end."""
        if not keepalive:
            return False
        conn.parser.unreader.allow(DRAIN_TIMEOUT)
        return bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_TIMEOUT))

    # ----------------------------------------------------------------------------------- endings

    def init_signals(self) -> None:
        ignored = [number for number in STOPS if is_ignored(number)]
        super().init_signals()
        # A hang-up may go to the whole group, and is for the master.
        for number in (signal.SIGHUP, *ignored):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(RETIRE, self._handle_retire)
        signal.siginterrupt(RETIRE, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD)

    def _handle_retire(self, _sig: int, _frame: Any) -> None:
        if not self.is_retired:
            self.is_retired = True
            self.method_queue.defer(self._retire)

    def _retire(self) -> None:
        # It comes again, and would else end a process whose interpreter is being taken down.
        signal.signal(RETIRE, signal.SIG_IGN)
        self.set_accept_enabled(False)
        self.app.retire()
        setproctitle(f"{getproctitle()} (retiring)")

    def set_accept_enabled(self, enabled: bool) -> None:
        """Called at each turn of the main loop in which there is room for connections."""
        super().set_accept_enabled(enabled and not self.is_retired)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish what is short, end what waits. The rest happens in the main loop."""
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._let_go)

    def _let_go(self) -> None:
        self.app.stop_waiting()
        # Who has had an answer knows that the connection may close, and comes again by another one.
        for idle in self.keepalived_conns:
            idle.timeout = 0.0
        latest = time.monotonic() + STOP_GRACE
        for new in self.pending_conns:
            new.timeout = min(new.timeout, latest)

    def murder_pending(self) -> None:
        """After each turn of the main loop: close whose time is over, and make room."""
        super().murder_pending()
        now = time.monotonic()
        while self._lingering:
            oldest = self._lingering[0]
            if oldest.timeout > now and len(self._lingering) <= MAX_CLOSING:
                break
            self._close_lingering(oldest)
        if not self._has_room:
            self._has_room = True
            self._drop_a_silent_one()
        if self.is_retired and self.nr_conns == 0 and not self._lingering:
            self.alive = False

    def _drop_a_silent_one(self) -> None:
        for silent, drop in (
            (self.keepalived_conns, super().murder_keepalived),
            (self.pending_conns, super().murder_pending),
        ):
            if silent:
                silent[0].timeout = 0.0
                drop()
                return

    def _linger(self, conn: Any) -> None:
        """Close without cutting off the last reply: wait for the client's end, but not for ever."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            conn.close()
            return
        conn.timeout = time.monotonic() + CLOSE_GRACE
        self._lingering.append(conn)
        on_readable = partial(self._discard, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, on_readable)

    def _discard(self, conn: Any, client: Any) -> None:
        with suppress(BlockingIOError):
            if not _receive(client):
                self._close_lingering(conn)

    def _close_lingering(self, conn: Any) -> None:
        self._lingering.remove(conn)
        self.poller.unregister(conn.sock)
        conn.close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer what never became a request, as the API answers all errors."""
        answer_error(client, exc)


def _open_spare() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _receive(client: socket.socket) -> bytes:
    """What is there; empty at the end of the stream. `BlockingIOError`: nothing yet."""
    try:
        return client.recv(1 << 16)
    except BlockingIOError:
        raise
    except OSError:
        return b""


def _is_whole(head: bytearray, seen: int = 0) -> bool:
    """Whether a head ends in what came after the first `seen` bytes, or is too long to go on."""
    return head.find(b"\r\n\r\n", max(0, seen - 3)) >= 0 or len(head) > MAX_HEAD

"""gunicorn's threaded worker as this service needs it: quick to stop, and bounded in all waiting.

A connection has a thread only while a request is served whose head is whole. Before that, and after
its last reply, the main loop has it. So clients that are slow or silent cost a descriptor each, and
never a thread.
"""

from __future__ import annotations

import errno
import selectors
import signal
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]
from setproctitle import getproctitle, setproctitle

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.process.signals import is_ignored
from genvm_manager.manager.api.events.subscriber import STREAM_PATH
from genvm_manager.manager.api.limits.timeouts import DRAIN_TIMEOUT, HEAD_TIMEOUT, TRANSFER_TIMEOUT

from .closing_connections import ClosingConnections, receive
from .gunicorn_errors import answer_error
from .request_threads import RequestThreads
from .spare_descriptor import SpareDescriptor
from .unreader import BoundedUnreader

log = event_log(__name__)

MAX_UNREAD = 64 << 10
"""Bytes of an unread body that gunicorn reads itself to keep the connection."""

MAX_HEAD = 288 << 10
"""Bytes; more than gunicorn's own limits allow a request line and all headers together."""

STOP_GRACE = 0.5
"""Seconds, when we stop, for a new connection to send what is on its way; then it is closed."""

RETIRE = signal.SIGUSR2
"""Tells a worker to take no new connection, and to end once its last one is closed."""

TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGQUIT)
"""What a terminal sends to stop us; ignored where it was ignored at our start."""

MASTER_SIGNALS = (signal.SIGTERM, signal.SIGQUIT, RETIRE)
"""What the master sends to workers; it forks them with these blocked, and they unblock them."""

NO_THREAD = Unavailable("the system has no thread to spare for this request; try again")


def begin_request(worker: Any, req: Any) -> None:
    """Start the time for a request's body, and say in the reply if the connection closes after it.

    gunicorn closes a connection without saying so when the application leaves much of a body
    unread, as it does for an error; a client that then sends its next request gets no answer. A
    worker that retires closes each connection after its next reply. So does a stream, whose client
    may find another worker when it connects again.
    """
    req.unreader.allow(TRANSFER_TIMEOUT)
    if worker.is_retired or req.path == STREAM_PATH:
        req.force_close()
    for name, value in req.headers:
        if name == "TRANSFER-ENCODING" or (name == "CONTENT-LENGTH" and int(value) >= MAX_UNREAD):
            req.force_close()


class ServiceWorker(ThreadWorker):  # type: ignore[misc]
    """Serves the application of one `HttpService`, in a process that the master forks.

    The application has `stop_waiting()`, which ends requests that wait for something, and
    `retire()`, which ends only those that have no end of their own.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Prepare it in the master, before the fork."""
        super().__init__(*arguments, **named)
        self._closing = ClosingConnections()
        self._has_room = True
        self._spare: SpareDescriptor | None = None
        self.is_retired = False
        self.retired_by: int | None = None
        """The reload that ended its time. Only the master sets it, which has this object too."""

    def init_process(self) -> None:
        """Serve until the end of this process."""
        self._spare = SpareDescriptor()
        try:
            super().init_process()
        finally:
            # It returns or raises when the worker ends. Threads that are idle would keep the
            # process alive.
            self.tpool.shutdown()

    def get_thread_pool(self) -> RequestThreads:
        """Return the threads that serve requests."""
        return RequestThreads(self.cfg.threads)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Take one turn of the main loop: handle what comes within `timeout` seconds, then do what
        is due.
        """
        super().wait_for_and_dispatch_events(timeout)
        self.take_turn()

    def take_turn(self) -> None:
        """Do all that is due, in this order."""
        # gunicorn's: close the connections whose next request, or whose head, has not come in time.
        self.murder_keepalived()
        self.murder_pending()
        self._closing.close_overdue(self.poller)
        self._make_room()
        self.app.level.refresh()
        self._end_if_retired()

    # ------------------------------------------------------------------------------- connections

    def accept(self, listener: Any) -> None:
        """Take a new connection. When no descriptor is left for it, this turn makes room."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._has_room = False
            if self.keepalived_conns or self.pending_conns:
                log.warning("silent_connection_dropped", reason=error.strerror)
            elif self._spare is not None:
                self._spare.refuse_one(listener, error)
        if self.nr_conns >= self.worker_connections:
            self._has_room = False

    def set_accept_enabled(self, enabled: bool) -> None:
        """Listen for new connections or not; gunicorn calls it when there is room and when not."""
        super().set_accept_enabled(enabled and not self.is_retired)

    def _make_room(self) -> None:
        """Close one connection that serves no request, if one could not be accepted."""
        if self._has_room:
            return
        self._has_room = True
        for silent, close_overdue in (
            (self.keepalived_conns, self.murder_keepalived),
            (self.pending_conns, self.murder_pending),
        ):
            if silent:
                silent[0].timeout = 0.0
                close_overdue()
                return

    def enqueue_req(self, conn: Any) -> None:
        """Have a thread serve the connection, now or once the head of a request is whole."""
        if not conn.initialized:
            conn.init()
            conn.parser.unreader = BoundedUnreader(conn.sock)
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
        """Read more of a head; forget the connection here once the head is whole, or never will
        be.
        """
        descriptor = client.fileno()
        if self._take_head(conn):
            self.poller.unregister(descriptor)
            self.pending_conns.remove(conn)

    def _take_head(self, conn: Any) -> bool:
        """Return whether the head is whole, and a thread has it, or will never be whole."""
        seen = len(conn.head)
        try:
            received = receive(conn.sock)
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

    # ---------------------------------------------------------------------------------- requests

    def _serve(self, conn: Any) -> None:
        """Have a thread serve the request whose head is whole."""
        conn.parser.unreader.expect_head()
        # gunicorn's parser finds the head there, and reads nothing from the socket for it.
        conn.parser.unreader.unread(bytes(conn.head))
        conn.head.clear()
        served: Future[Any] = Future()
        # The callback runs in the thread; `defer` brings the connection back to the main loop.
        served.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )
        try:
            self.tpool.submit(lambda: self._handle_for(served, conn))
        except RuntimeError:
            served.cancel()

    def _handle_for(self, served: Future[Any], conn: Any) -> None:
        """Serve a request, in its thread."""
        try:
            served.set_result(self.handle(conn))
        except BaseException as error:
            served.set_exception(error)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Wait for the next request on a connection, or close it. In the main loop."""
        if fs.cancelled():
            answer_error(conn.sock, NO_THREAD)
        if fs.cancelled() or fs.exception() or not fs.result():
            self.nr_conns -= 1
            self._closing.add(conn, self.poller)
            return
        super().finish_request(conn, fs)
        if not self.alive:
            conn.timeout = 0.0

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Return whether the connection can serve another request: not if its body does not end.

        A private method of gunicorn's, whose own waits longer for the rest of a body.
        """
        if not keepalive:
            return False
        conn.parser.unreader.allow(DRAIN_TIMEOUT)
        return bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_TIMEOUT))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer bytes that never became a request, as the API answers all errors."""
        answer_error(client, exc)

    # ----------------------------------------------------------------------------------- endings

    def init_signals(self) -> None:
        """Handle what the master sends, which was blocked until now."""
        ignored = [number for number in TERMINAL_SIGNALS if is_ignored(number)]
        super().init_signals()
        # A hang-up may go to the whole group, and is for the master.
        for number in (signal.SIGHUP, *ignored):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(RETIRE, self._handle_retire)
        signal.siginterrupt(RETIRE, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_SIGNALS)

    def _handle_retire(self, _sig: int, _frame: Any) -> None:
        if not self.is_retired:
            self.is_retired = True
            self.method_queue.defer(self._retire)

    def _retire(self) -> None:
        # The master repeats it each turn. Without this, one that comes while the interpreter shuts
        # down, when there are no handlers any more, would end the process by its default.
        signal.signal(RETIRE, signal.SIG_IGN)
        self.set_accept_enabled(False)
        self.app.retire()
        setproctitle(f"{getproctitle()} (retiring)")

    def _end_if_retired(self) -> None:
        if self.is_retired and self.nr_conns == 0 and not self._closing:
            self.alive = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop, on SIGTERM: finish what is short, end what waits. The main loop does the rest."""
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._shorten_waits)

    def _shorten_waits(self) -> None:
        self.app.stop_waiting()
        # A client that has had an answer knows that the connection may close, and connects again.
        for idle in self.keepalived_conns:
            idle.timeout = 0.0
        latest = time.monotonic() + STOP_GRACE
        for new in self.pending_conns:
            new.timeout = min(new.timeout, latest)


def _is_whole(head: bytearray, seen: int = 0) -> bool:
    """Return whether a head ends in what came after the first `seen` bytes, or is too long."""
    return head.find(b"\r\n\r\n", max(0, seen - 3)) >= 0 or len(head) > MAX_HEAD

"""gunicorn's threaded worker as this service needs it: quick to stop, JSON even when it errs."""

from __future__ import annotations

import logging
import selectors
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from gunicorn.http.errors import (  # type: ignore[import-untyped]
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.util import write_nonblock  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from .replies import ErrorReply

log = logging.getLogger(__name__)

DRAINED = 64 << 10
"""Bytes of an unread body that gunicorn reads itself to keep the connection."""

_STATUS: dict[type[ParseException], HTTPStatus] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    ParseException: HTTPStatus.BAD_REQUEST,
}


def announce_close(_worker: object, req: Any) -> None:
    """Before each request: say in the reply that the connection closes, where it may have to.

    gunicorn closes it without a word when the application leaves much of a body unread, as an error
    does; a client that sends its next request then gets no answer.
    """
    for name, value in req.headers:
        if name == "TRANSFER-ENCODING" or (name == "CONTENT-LENGTH" and int(value) >= DRAINED):
            req.force_close()


class ServiceWorker(ThreadWorker):  # type: ignore[misc]
    """Its application has `stop_waiting()`, which ends requests that wait for something."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish what is short, end what waits. The rest happens in the main loop."""
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._let_go)

    def _let_go(self) -> None:
        self.app.stop_waiting()
        self.murder_keepalived(force=True)
        for silent in self.pending_conns:
            silent.timeout = 0.0
        self.murder_pending()

    def enqueue_req(self, conn: Any) -> None:
        """Have a thread serve the connection, once it has something to say.

        Until then a new one waits in the main loop, as kept ones do: it would hold up a thread.
        """
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        on_readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, on_readable)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """In the main loop, after each request.

        A connection that is done with lingers for up to two seconds until the client closes its
        side too. That is left to a thread: here it would hold up all other clients.
        """
        if fs.cancelled() or fs.exception() or not fs.result():
            self.nr_conns -= 1
            self.tpool.submit(conn.close, graceful=True)
        else:
            super().finish_request(conn, fs)
        if not self.alive:
            self.murder_keepalived(force=True)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer what never became a request, as the API answers all errors."""
        if isinstance(exc, ParseException):
            status = next(_STATUS[kind] for kind in type(exc).__mro__ if kind in _STATUS)
            message = f"not an HTTP request: {exc}"
        else:
            log.error("request failed before it reached the application", exc_info=exc)
            status, message = HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"
        body = msgspec.json.encode(ErrorReply(message))
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            write_nonblock(client, head.encode("latin-1") + body)
        except OSError as error:
            log.debug("the client did not take the error: %s", error)

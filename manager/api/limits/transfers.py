"""Bodies and replies on their way: bounded in time, and in how many there are at once."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from flask import Flask, Request, Response, current_app, has_request_context, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from genvm_manager.base.errors import BadRequest, Unavailable
from genvm_manager.manager.api.declaration.parameters import CONTENT_ENCODING
from genvm_manager.manager.api.errors import error_response

from .concurrency import ConcurrencyLimiter, ConcurrencyLimits
from .timeouts import STALL_TIMEOUT, reply_timeout

LARGE_REPLY = 128 << 10
"""Bytes beyond which a reply needs a place among the transfers: the kernel may not buffer it."""

CLIENT_SOCKET = "genvm_manager.client_socket"
"""The key in the WSGI environment under which the server passes the client's socket."""

_EXTENSION = "genvm-transfers"


class MalformedBody(Exception):
    """A chunked body breaks the rules of HTTP; raised by the `wsgi.input` of the server. The
    message says which rule.
    """


def install_transfers(app: Flask, limits: ConcurrencyLimits) -> None:
    """Make `read_body` and the replies of `app` keep to `limits`."""
    app.extensions[_EXTENSION] = limits.transfers
    app.after_request(_prepare_to_send)


def current_caller() -> socket.socket | None:
    """Return the client's socket of the present request; None outside of a request."""
    caller = request.environ.get(CLIENT_SOCKET) if has_request_context() else None
    return caller if isinstance(caller, socket.socket) else None


def read_body(request: Request) -> bytes:
    """Return the whole body.

    Raises `BadRequest` when it was cut off, too slow or encoded, `RequestEntityTooLarge` (413), and
    `Unavailable` while too many bodies are on their way.
    """
    with _transfers().place():
        try:
            body = request.get_data(cache=False)
        except (ClientDisconnected, TimeoutError):
            message = f"body: it ended, or stood still for {STALL_TIMEOUT:.0f} s, before its end"
            raise BadRequest(message) from None
        except MalformedBody as error:
            raise BadRequest(f"body: badly chunked: {error}") from None
    CONTENT_ENCODING.read()
    limit = request.max_content_length
    # Werkzeug cuts a chunked body at the limit without a word.
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise RequestEntityTooLarge
    return body


def _prepare_to_send(response: Response) -> Response:
    """Set the timeout for a reply; a large one takes a place until it is sent."""
    size = response.content_length or 0
    if size > LARGE_REPLY:
        sending = ExitStack()
        try:
            sending.enter_context(_transfers().place())
        except Unavailable as error:
            response = error_response(error)
        response.call_on_close(sending.close)
    caller = current_caller()
    if caller is not None:
        caller.settimeout(reply_timeout(size))
    return response


def _transfers() -> ConcurrencyLimiter:
    limiter = current_app.extensions[_EXTENSION]
    assert isinstance(limiter, ConcurrencyLimiter)
    return limiter

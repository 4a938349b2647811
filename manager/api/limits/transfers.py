"""What goes between a client and its thread: bounded in time, and in how many do so at once."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from flask import Flask, Request, Response, current_app, has_request_context, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from genvm_manager.base.errors import BadRequest, Unavailable
from genvm_manager.manager.api import json_response
from genvm_manager.protocol.http_api import ErrorReply

from .concurrency import ConcurrencyLimiter, ConcurrencyLimits
from .timeouts import STALL_TIMEOUT, reply_timeout

LARGE_REPLY = 128 << 10
"""Bytes beyond which a reply needs a place among the transfers: the kernel may not buffer it."""

CLIENT_SOCKET = "genvm_manager.client_socket"
"""The key of a WSGI environment by which the server hands over the client's socket, if it does."""

_EXTENSION = "genvm-transfers"


class MalformedBody(Exception):
    """A chunked body breaks the rules of HTTP; raised by the `wsgi.input` of the server. The
    message says which rule."""


def install_transfers(app: Flask, shares: ConcurrencyLimits) -> None:
    """Have `read_body` and replies of `app` keep to `shares`."""
    app.extensions[_EXTENSION] = shares.transfers
    app.after_request(_prepare_to_send)


def current_caller() -> socket.socket | None:
    """The connection by which the request of this thread came; None outside of one."""
    caller = request.environ.get(CLIENT_SOCKET) if has_request_context() else None
    return caller if isinstance(caller, socket.socket) else None


def read_body(request: Request) -> bytes:
    """All of the body. Raises `BadRequest` when it was cut off or too slow, what becomes 413, and
    `Unavailable` when too many bodies are on their way."""
    with _transfers().place():
        try:
            body = request.get_data(cache=False)
        except (ClientDisconnected, TimeoutError):
            message = f"body: it ended, or stood still for {STALL_TIMEOUT:.0f} s, before its end"
            raise BadRequest(message) from None
        except MalformedBody as error:
            raise BadRequest(f"body: badly chunked: {error}") from None
    _require_plain(request)
    limit = request.max_content_length
    # Werkzeug cuts a chunked body at the limit without a word.
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise RequestEntityTooLarge
    return body


def _require_plain(request: Request) -> None:
    """Bodies are taken as they come: a compressed one would pass for a contract's code."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise BadRequest(f"Content-Encoding: send the body as it is, not as {encoding[:40]!r}")


def _prepare_to_send(response: Response) -> Response:
    """A slow reader has its time; a large reply holds a place until it is sent."""
    size = response.content_length or 0
    if size > LARGE_REPLY:
        sending = ExitStack()
        try:
            sending.enter_context(_transfers().place())
        except Unavailable as error:
            response = json_response(ErrorReply(error.message), 503)
            response.headers["Retry-After"] = str(error.retry_after)
        response.call_on_close(sending.close)
    caller = current_caller()
    if caller is not None:
        caller.settimeout(reply_timeout(size))
    return response


def _transfers() -> ConcurrencyLimiter:
    share = current_app.extensions[_EXTENSION]
    assert isinstance(share, ConcurrencyLimiter)
    return share

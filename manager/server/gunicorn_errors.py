"""Replies to bytes that never became a request, in the form of all other errors."""

from __future__ import annotations

import socket
from http import HTTPStatus

import msgspec
from gunicorn.http.errors import (  # type: ignore[import-untyped]
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.util import write_nonblock  # type: ignore[import-untyped]

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.manager.api.errors import shortage
from genvm_manager.protocol.http_api import ErrorReply

log = event_log(__name__)

MAX_REASON = 200
"""Characters of gunicorn's message, which may quote what the client sent."""

_STATUS: dict[type[ParseException], HTTPStatus] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    ParseException: HTTPStatus.BAD_REQUEST,
}


def answer_error(client: socket.socket, error: BaseException) -> None:
    """Send an error reply, unless the client does not take it at once."""
    more = ""
    if isinstance(error, ParseException):
        status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
        message = f"not an HTTP request: {str(error)[:MAX_REASON]}"
    elif (refusal := error if isinstance(error, Unavailable) else shortage(error)) is not None:
        log.warning("request_refused", reason=refusal.message)
        status, message = HTTPStatus.SERVICE_UNAVAILABLE, refusal.message
        more = f"Retry-After: {refusal.retry_after}\r\n"
    else:
        log.failure("request_failed_before_the_application", error)
        status, message = HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"
    body = msgspec.json.encode(ErrorReply(message))
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    )
    try:
        write_nonblock(client, head.encode("latin-1") + body)
    except OSError as problem:
        log.debug("error_not_taken_by_client", reason=problem.strerror)

"""The one place where errors become HTTP (docs/spec/01-http-api.md#errors)."""

from __future__ import annotations

import errno

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, Unauthorized

from genvm_manager.base.errors import (
    BadRequest,
    ManagerError,
    RequestFailed,
    RunNotFound,
    ShutdownTimeout,
    Unavailable,
)
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.protocol.http_api import ErrorReply

from . import json_response

log = event_log(__name__)

NOT_FOUND = "Not Found"
"""Of an unknown path and of a wrong method; clients compare it."""

BODY_TOO_LARGE = "body: larger than this service accepts"
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_STATUS: dict[type[ManagerError], int] = {
    BadRequest: 400,
    RunNotFound: 404,
    RequestFailed: 500,
    Unavailable: 503,
    ManagerError: 500,
}


def status_of(error: ManagerError) -> int:
    """Return the HTTP status code of an error, by the nearest class in the table."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def install_error_handlers(app: Flask) -> None:
    """Make `app` answer every error as `{"error": …}`."""
    app.register_error_handler(ManagerError, error_response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def error_response(error: ManagerError) -> Response:
    """Return the response for an error, whose class decides the status code."""
    if type(error) is ManagerError:
        log.error("request_failed", method=request.method, path=request.path, reason=error.message)
    genvm_id = (request.view_args or {}).get("genvm_id")
    is_about_a_run = isinstance(error, (RunNotFound, ShutdownTimeout))
    reply = ErrorReply(error.message, genvm_id if is_about_a_run else None)
    response = json_response(reply, status_of(error))
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _http_error(error: HTTPException) -> Response:
    """Answer an error that Flask raised; a wrong method is 404 as an unknown path is."""
    code = error.code or 500
    if code in (404, 405):
        return json_response(ErrorReply(NOT_FOUND), 404)
    if code == 413:
        return json_response(ErrorReply(BODY_TOO_LARGE), 413)
    response = json_response(ErrorReply(error.description or error.name), code)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Bearer realm="genvm-manager"'
    return response


def shortage(error: BaseException) -> Unavailable | None:
    """Return the 503 for an error that means this process or machine is short of resources.

    Return None for any other error.
    """
    if isinstance(error, OSError) and error.errno in _SHORTAGES:
        return Unavailable(f"short of resources: {error.strerror}; try again later")
    return None


def _unexpected(error: Exception) -> Response:
    if (refusal := shortage(error)) is not None:
        log.warning(
            "request_refused", method=request.method, path=request.path, reason=refusal.message
        )
        return error_response(refusal)
    log.failure("request_failed", error, method=request.method, path=request.path)
    return json_response(ErrorReply("internal error; the service's log says more"), 500)

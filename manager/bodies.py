"""The body of a request, whole or not at all."""

from __future__ import annotations

from flask import Request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from protocol.errors import BadRequest


def read_body(request: Request) -> bytes:
    """All of the body. Raises `BadRequest` when it was cut off, and what becomes 413."""
    try:
        body = request.get_data(cache=False)
    except ClientDisconnected:
        raise BadRequest("body: it ended before it was complete") from None
    except ParseException as error:
        raise BadRequest(f"body: badly chunked: {error}") from None
    limit = request.max_content_length
    # Werkzeug cuts a chunked body at the limit without a word.
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise RequestEntityTooLarge
    return body

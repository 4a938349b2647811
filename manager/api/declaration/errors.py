"""Errors that operations answer with, each with an example that can happen there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from genvm_manager.manager.api.access import FOREIGN_HOST, NO_AUTHORIZATION
from genvm_manager.manager.api.errors import BODY_TOO_LARGE
from genvm_manager.manager.ipc_client.connection import SUPERVISOR_LOST

_NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCase:
    """A status code, `when` it is answered (a sentence), and an `example` of `error` there.

    `genvm_id` stands beside `error` where the error is about one run.
    """

    status: int
    when: str
    example: str
    genvm_id: int | None = None

    @property
    def name(self) -> str:
        """Return a short name, from the first words of `when`."""
        parts = _NO_WORD.sub(" ", self.when.lower()).split()
        return "-".join(parts[:6])

    @property
    def document(self) -> dict[str, Any]:
        """Return the example as the service answers it."""
        about = {} if self.genvm_id is None else {"genvm_id": self.genvm_id}
        return {"error": self.example, **about}


def bad_request(example: str) -> ErrorCase:
    """Return the 400 of an operation; `example` begins with the name of what is at fault."""
    return ErrorCase(
        HTTPStatus.BAD_REQUEST,
        "The request is at fault; the error names the field, header or query parameter.",
        example,
    )


def failed(when: str, example: str) -> ErrorCase:
    """Return a 500 of an operation that was understood and could not be carried out."""
    return ErrorCase(HTTPStatus.INTERNAL_SERVER_ERROR, when, example)


def busy(when: str, example: str) -> ErrorCase:
    """Return a 503 of an operation that can succeed when it is tried again."""
    return ErrorCase(HTTPStatus.SERVICE_UNAVAILABLE, when, example)


UNAUTHORIZED = ErrorCase(
    HTTPStatus.UNAUTHORIZED, "The service has a token and the request lacks it.", NO_AUTHORIZATION
)
FORBIDDEN = ErrorCase(
    HTTPStatus.FORBIDDEN,
    "`Host`, `Origin` or `Sec-Fetch-Site` says that the request comes from a foreign web page.",
    FOREIGN_HOST.format(host="'example.com'"),
)
TOO_LARGE = ErrorCase(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is larger than `max_body`.", BODY_TOO_LARGE
)
UNAVAILABLE = busy(
    "The supervisor cannot be reached, is shutting down or has too much to do.", SUPERVISOR_LOST
)
STOPPING = busy("The service is shutting down.", "the supervisor is shutting down")

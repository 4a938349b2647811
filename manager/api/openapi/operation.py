"""How one operation of the API is declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

JSON = "application/json"
BYTES = "application/octet-stream"

REFUSED = {
    401: "The service has a token and the request lacks it.",
    403: "`Host`, `Origin` or `Sec-Fetch-Site` says that it comes from elsewhere.",
}
"""What any operation may answer."""

BAD_REQUEST = {400: "The request is at fault; the error names the field, header or query."}
BAD_BODY = BAD_REQUEST | {413: "The body is larger than `max_body`."}
UNAVAILABLE = {
    503: "The supervisor cannot be reached, is shutting down or has too much to do; see "
    "`Retry-After`, in seconds."
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the path, the query or a header; `schema` is JSON Schema."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    schema: dict[str, Any]
    example: Any
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """A body in one media type: a struct as JSON, or bytes. `example` is JSON's value of it.

    `is_list`: it is a list of such structs.
    """

    media_type: str
    struct: type | None
    example: Any
    description: str = ""
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `errors` are the status codes besides 200, with what they mean."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    tag: str
    summary: str
    reply: Body
    errors: dict[int, str] = field(default_factory=dict)
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    bodies: tuple[Body, ...] = ()
    is_open: bool = False
    """Answered without a token."""

    @property
    def name(self) -> str:
        """A word for the operation that no other has."""
        words = [part.strip("{}") for part in self.path.replace("-", "_").split("/") if part]
        return "_".join([self.method.lower(), *words]).replace(".", "_")

    def refusals(self) -> dict[int, str]:
        """All status codes that report an error, in order."""
        refused = {code: words for code, words in REFUSED.items() if not self.is_open}
        return dict(sorted(({403: REFUSED[403]} | refused | self.errors).items()))


def phrase(code: int) -> str:
    """The usual words for a status code."""
    return HTTPStatus(code).phrase

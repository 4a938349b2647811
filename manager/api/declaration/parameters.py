"""Parameters of operations: declared once, for the document and for the reading of requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

from flask import Request, request

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.text.numbers import whole_number
from genvm_manager.protocol.limits import MAX_RUN_ID

T = TypeVar("T")

Place = Literal["path", "query", "header"]


@dataclass(frozen=True, slots=True, eq=False)
class Parameter(Generic[T]):
    """A part of the path, the query or the headers.

    `schema` is JSON Schema, and `example` a value of it. `parse` turns the text into the value and
    raises `ValueError` whose message says what was expected. A parameter without `default` is
    required.
    """

    name: str
    place: Place
    description: str
    schema: dict[str, Any]
    example: Any
    parse: Callable[[str], T]
    default: T | None = None

    @property
    def is_required(self) -> bool:
        """Return whether a request without this parameter is refused."""
        return self.default is None

    def read(self) -> T:
        """Return the value in the present request. Raises `BadRequest`, which names it."""
        given = self._given(request)
        if given is None:
            if self.default is None:
                raise BadRequest(f"{self.name}: missing; {self._how_to_send()}")
            return self.default
        try:
            return self.parse(given)
        except ValueError as error:
            raise BadRequest(f"{self.name}: {error}") from None

    def _given(self, request: Request) -> str | None:
        if self.place == "header":
            return request.headers.get(self.name)
        if self.place == "query":
            return request.args.get(self.name)
        return str((request.view_args or {})[self.name])

    def _how_to_send(self) -> str:
        if self.place == "header":
            return f"send this header, such as {self.example}"
        return f"add it to the query, such as ?{urlencode({self.name: self.example})}"


def choice(
    name: str, description: str, options: tuple[str, ...], *, has_default: bool
) -> Parameter[str]:
    """Return a query parameter with one of `options`, of which the first may be the default."""

    def parse(text: str) -> str:
        if text not in options:
            named = " or ".join(options) if len(options) == 2 else f"one of {', '.join(options)}"
            raise ValueError(f"expected {named}, got {text[:40]!r}")
        return text

    schema: dict[str, Any] = {"type": "string", "enum": list(options)}
    if has_default:
        schema["default"] = options[0]
    default = options[0] if has_default else None
    return Parameter(name, "query", description, schema, options[0], parse, default)


def integer(
    name: str,
    description: str,
    what: str,
    *,
    default: int,
    maximum: int = MAX_RUN_ID,
) -> Parameter[int]:
    """Return an optional query parameter, 0 to `maximum`; its errors say `expected {what}`."""

    def parse(text: str) -> int:
        try:
            return whole_number(text, maximum)
        except ValueError:
            raise ValueError(f"expected {what}, got {text[:40]!r}") from None

    schema = {"type": "integer", "minimum": 0, "maximum": maximum, "default": default}
    return Parameter(name, "query", description, schema, default, parse, default)


def _identity(text: str) -> str:
    if text.lower() != "identity":
        raise ValueError(f"send the body as it is, not as {text[:40]!r}")
    return text


CONTENT_ENCODING = Parameter(
    "Content-Encoding",
    "header",
    "The service decodes no bodies: it refuses compressed ones.",
    {"type": "string", "enum": ["identity"]},
    "identity",
    _identity,
    default="identity",
)
"""A parameter of each operation with a body. A compressed body would pass for contract code."""

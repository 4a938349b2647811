"""One operation of the API: everything about it in one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from flask import Flask, Response, current_app
from msgspec import Struct

from genvm_manager.manager.api import json_response
from genvm_manager.manager.api.sources import Sources

from .content import Content
from .errors import FORBIDDEN, TOO_LARGE, UNAUTHORIZED, ErrorCase
from .parameters import CONTENT_ENCODING, Parameter

Answer = Struct | Sequence[Struct] | Response
Handler = Callable[[Sources], Answer]
"""Reads the present request, and returns the document of the reply or the whole response."""

_EXTENSION = "genvm-operations"


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One method of one path.

    `errors` need not name those that any operation, or any with a body, may answer with.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    tag: str
    summary: str
    handler: Handler
    reply: Content
    description: str = ""
    parameters: tuple[Parameter[Any], ...] = ()
    bodies: tuple[Content, ...] = ()
    errors: tuple[ErrorCase, ...] = ()
    is_open: bool = False
    """Whether it answers without a token."""

    @property
    def name(self) -> str:
        """Return a name that no other operation has."""
        parts = [part.strip("{}") for part in self.path.replace("-", "_").split("/") if part]
        return "_".join([self.method.lower(), *parts]).replace(".", "_")

    @property
    def all_parameters(self) -> tuple[Parameter[Any], ...]:
        """Return the parameters, with those that come with a body."""
        return (*self.parameters, CONTENT_ENCODING) if self.bodies else self.parameters

    def error_cases(self) -> dict[int, list[ErrorCase]]:
        """Return all errors by their status codes, in order."""
        cases = [FORBIDDEN, *self.errors]
        cases += [TOO_LARGE] if self.bodies else []
        cases += [] if self.is_open else [UNAUTHORIZED]
        statuses = sorted({int(each.status) for each in cases})
        return {status: [each for each in cases if each.status == status] for status in statuses}


def register(app: Flask, operations: Sequence[Operation], sources: Sources) -> None:
    """Add a route to `app` for each operation; handlers get `sources`."""
    app.extensions[_EXTENSION] = tuple(operations)
    for operation in operations:
        answer = partial(_answer, operation.handler, sources)
        app.add_url_rule(_rule(operation), operation.name, answer, methods=[operation.method])


def registered_operations() -> tuple[Operation, ...]:
    """Return the operations of the application that answers the present request."""
    operations: tuple[Operation, ...] = current_app.extensions[_EXTENSION]
    return operations


def open_endpoints(operations: Iterable[Operation]) -> frozenset[str]:
    """Return the names of the operations that answer without a token."""
    return frozenset(operation.name for operation in operations if operation.is_open)


def _answer(handler: Handler, sources: Sources, /, **_: object) -> Response:
    """Answer a request; what its path holds is read by the operation's parameters."""
    answer = handler(sources)
    return answer if isinstance(answer, Response) else json_response(answer)


def _rule(operation: Operation) -> str:
    """Return the path as Flask writes it."""
    rule = operation.path
    for each in operation.parameters:
        if each.place == "path":
            kind = "number:" if each.schema["type"] == "integer" else ""
            rule = rule.replace(f"{{{each.name}}}", f"<{kind}{each.name}>")
    return rule

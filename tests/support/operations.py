"""Requests made from the API's own declarations, so that no operation is forgotten."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from genvm_manager.manager.api.declaration.operation import Operation

from .waiting import TIMEOUT


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def send(self, http: httpx.Client) -> httpx.Response:
        """Return the response; of a stream, which has no end, only its head."""
        request = http.build_request(
            self.method,
            self.path,
            headers=self.headers,
            params=self.query,
            content=self.body,
            timeout=TIMEOUT,
        )
        response = http.send(request, stream=True)
        try:
            if response.headers["Content-Type"] != "text/event-stream":
                response.read()
        finally:
            response.close()
        return response


def example_of(operation: Operation) -> Request:
    """Return the operation with its examples and required parameters; it does not wait."""
    places: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.parameters:
        if parameter.is_required:
            places[parameter.place][parameter.name] = str(parameter.example)
    body = operation.bodies[0].example if operation.bodies else None
    encoded = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Request(
        operation.method,
        operation.path.format(**places["path"]),
        places["header"],
        places["query"],
        encoded if operation.bodies else None,
    )


def json_example_of(operation: Operation) -> dict[str, Any]:
    """Return a copy of the operation's JSON body."""
    example = json.loads(json.dumps(operation.bodies[0].example))
    assert isinstance(example, dict)
    return example

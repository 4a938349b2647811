"""`/`: a page that shows the service's status, and its parts under `/assets/`.

They contain no secret, and need neither a token nor the supervisor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

from flask import Response, request
from werkzeug.exceptions import NotFound

from genvm_manager.manager.api.declaration.content import Plain
from genvm_manager.manager.api.declaration.errors import ErrorCase
from genvm_manager.manager.api.declaration.operation import Operation
from genvm_manager.manager.api.declaration.parameters import Parameter
from genvm_manager.manager.api.errors import NOT_FOUND
from genvm_manager.manager.api.sources import Sources

_INDEX = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Browsers may keep a copy and must revalidate it: after an upgrade no part is an old one.
    "Cache-Control": "no-cache",
}
"""Nothing from other origins, no inline script or style, no frames. Trusted Types make the browser
refuse to turn text into HTML."""

_NAME = Parameter("name", "path", "The file's name.", {"type": "string"}, "look.css", str)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page."""

    content: bytes
    content_type: str
    tag: str

    def response(self) -> Response:
        """Return the file, or 304 when the client has it already."""
        response = Response(self.content, content_type=self.content_type, headers=_HEADERS)
        response.set_etag(self.tag)
        return response.make_conditional(request.environ)  # type: ignore[return-value]


@cache
def assets() -> dict[str, Asset]:
    """Return all files of the page by their names."""
    folder = files("genvm_manager.manager.api").joinpath("page")
    return {each.name: _asset(each.name, each.read_bytes()) for each in folder.iterdir()}


def page(_: Sources) -> Response:
    """Return the page."""
    return assets()[_INDEX].response()


def asset(_: Sources) -> Response:
    """Return a part of the page."""
    name = _NAME.read()
    if name == _INDEX or name not in assets():
        raise NotFound
    return assets()[name].response()


def _asset(name: str, content: bytes) -> Asset:
    return Asset(content, _TYPES[name.rpartition(".")[2]], sha256(content).hexdigest()[:16])


OPERATIONS = (
    Operation(
        "GET",
        "/",
        "Documentation",
        "Open the page that shows the status",
        page,
        Plain("text/html", "The page, without any data.", "<!doctype html>"),
        is_open=True,
    ),
    Operation(
        "GET",
        "/assets/{name}",
        "Documentation",
        "Read a part of that page",
        asset,
        Plain("text/css", "A script, a style or an image.", "body { margin: 0 }"),
        parameters=(_NAME,),
        errors=(ErrorCase(404, "No such part.", NOT_FOUND),),
        is_open=True,
    ),
)

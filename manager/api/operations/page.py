"""`/`: a page that shows what goes on, and its parts under `/assets/`."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from genvm_manager.manager.api.supervisor_client import SupervisorClient

_INDEX = "index.html"
_KINDS = {
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
    # A copy may be kept, and is asked about each time: after an upgrade no part is an old one.
    "Cache-Control": "no-cache",
}
"""Nothing from elsewhere, no script or style in the page itself, no frame around it; and no text
becomes HTML: the browser itself refuses what could turn it into some (Trusted Types)."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page."""

    content: bytes
    content_type: str
    tag: str

    def response(self) -> Response:
        """The file, or that the client has it already."""
        response = Response(self.content, content_type=self.content_type, headers=_HEADERS)
        response.set_etag(self.tag)
        return response.make_conditional(request.environ)  # type: ignore[return-value]


def routes(_: SupervisorClient) -> Blueprint:
    """`GET /` and `GET /assets/<name>`: they hold no secret, and need neither token nor
    supervisor."""
    blueprint = Blueprint("page", __name__)
    assets = _assets()
    index = assets.pop(_INDEX)

    @blueprint.get("/")
    def page() -> Response:
        return index.response()

    @blueprint.get("/assets/<name>")
    def asset(name: str) -> Response:
        if name not in assets:
            raise NotFound
        return assets[name].response()

    return blueprint


def _assets() -> dict[str, Asset]:
    return {
        each.name: _asset(each.name, each.read_bytes())
        for each in files("genvm_manager.manager.api").joinpath("page").iterdir()
    }


def _asset(name: str, content: bytes) -> Asset:
    return Asset(content, _KINDS[name.rpartition(".")[2]], sha256(content).hexdigest()[:16])

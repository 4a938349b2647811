"""What the API gets of a request that gunicorn has read, without gunicorn's own types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from genvm_manager.manager.api.limits.transfers import CLIENT_SOCKET, MalformedBody

WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]


class RequestBody:
    """A request's body, with the API's error in place of gunicorn's."""

    def __init__(self, body: Any) -> None:
        """`body` is gunicorn's `wsgi.input`."""
        self._body = body

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, all that are left when it is negative.

        Raises `MalformedBody`, `TimeoutError` and `OSError`.
        """
        try:
            received: bytes = self._body.read(size)
        except ParseException as error:
            raise MalformedBody(str(error)) from None
        return received


def without_gunicorn(application: WsgiApplication) -> WsgiApplication:
    """Return an application that hands each request to `application` in the API's own terms."""

    def handle(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input"] = RequestBody(environ["wsgi.input"])
        environ[CLIENT_SOCKET] = environ["gunicorn.socket"]
        return application(environ, start_response)

    return handle

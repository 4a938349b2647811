"""`gl.nondet.web`: HTTP requests, and pages as a browser shows them. Nondet blocks only."""

from __future__ import annotations

from ..._machine.wire import Lazy, call_host, lazy_call, module_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
_MODES = ("text", "html", "screenshot")


class Response:
    """What a web server answered."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, bytes], body: bytes | None) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def status_code(self) -> int:
        """The same as `status`."""
        return self.status

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body or b'')} bytes)"


class Image:
    """A picture: `raw` is the PNG file."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


@lazy_call
def request(
    url: str,
    *,
    method: str = "GET",
    body: str | bytes | None = None,
    headers: dict[str, str | bytes] | None = None,
    sign: bool = False,
) -> Lazy[Response]:
    """Send an HTTP request, and return the response. With `sign` the node signs the request."""
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}, got {method!r}")
    asked = {
        "method": method,
        "url": url,
        "headers": {name: _raw(value) for name, value in (headers or {}).items()},
        "body": None if body is None else _raw(body),
        "sign": sign,
    }
    raw = call_host({"WebRequest": asked})
    return Lazy(lambda: Response(**module_result(raw)["response"]))


def _with_method(method: str) -> Any:
    def send(url: str, **options: Any) -> Lazy[Response]:
        return request.lazy(url, method=method, **options)

    send.__name__ = method.lower()
    send.__doc__ = f"`request` with the method {method}."
    return lazy_call(send)


get, post, head, delete, patch = map(_with_method, ("GET", "POST", "HEAD", "DELETE", "PATCH"))


@lazy_call
def render(
    url: str, *, mode: str = "text", wait_after_loaded: str | None = None
) -> Lazy[str | Image]:
    """Return the page at `url` as a browser shows it.

    `mode` chooses its `"text"`, its `"html"`, or an `Image` of it (`"screenshot"`).

    `wait_after_loaded` gives scripts of the page time, such as `"500ms"` or `"2s"`.
    """
    if mode not in _MODES:
        raise ValueError(f"mode is one of {', '.join(_MODES)}, got {mode!r}")
    asked = {"mode": mode, "url": url, "wait_after_loaded": wait_after_loaded or "0ms"}
    raw = call_host({"WebRender": asked})
    return Lazy(lambda: _page(module_result(raw)))


def _page(answer: dict[str, Any]) -> str | Image:
    return Image(answer["image"]) if "image" in answer else answer["text"]


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)

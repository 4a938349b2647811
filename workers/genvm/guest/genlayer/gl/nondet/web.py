"""`gl.nondet.web`: HTTP requests, and pages as a browser shows them. Nondet blocks only.

Source: docs/spec/07-python-sdk.md#13-glnondet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..._machine.wire import Lazy, lazy_call
from . import ask_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@dataclass
class Response:
    """What a web server answered."""

    status: int
    headers: dict[str, bytes]
    body: bytes | None


@dataclass
class Image:
    """A picture: `raw` is the PNG file, `pil` the same for Pillow.

    Pillow is not among the modules of the machine. With a Pillow of the contract's own, the `pil`
    of a page is made when it is first read; without one, that raises `ImportError`.
    """

    raw: bytes
    pil: Any = field(repr=False, compare=False)

    def __getattr__(self, name: str) -> Any:
        if name != "pil":
            raise AttributeError(f"an Image has no attribute {name!r}")
        from io import BytesIO

        try:
            from PIL import Image as pillow  # noqa: N813 - there is an `Image` here
        except ImportError:
            raise ImportError("pil needs Pillow, which is not in the machine: use raw") from None
        self.pil = pillow.open(BytesIO(self.raw))
        return self.pil


@lazy_call
def request(
    url: str,
    *,
    method: str,
    body: str | bytes | None = None,
    headers: Mapping[str, str | bytes] = {},
) -> Lazy[Response]:
    """Send an HTTP request, and return the response. A `str` goes as UTF-8."""
    asked = {
        "url": url,
        "method": method,
        "body": _raw(body),
        "headers": {name: _raw(value) for name, value in headers.items()},
    }
    return ask_module({"WebRequest": asked}, lambda answer: Response(**answer["response"]))


@lazy_call
def get(url: str, *, headers: Mapping[str, str | bytes] = {}) -> Lazy[Response]:
    """Send a GET request, and return the response."""
    return request.lazy(url, method="GET", headers=headers)


def _with_method(method: str) -> Any:
    def send(
        url: str,
        *,
        body: str | bytes | None = None,
        headers: Mapping[str, str | bytes] = {},
    ) -> Lazy[Response]:
        return request.lazy(url, method=method, body=body, headers=headers)

    send.__name__ = method.lower()
    send.__doc__ = f"Send a {method} request, and return the response."
    return lazy_call(send)


post, delete, head, patch = map(_with_method, ("POST", "DELETE", "HEAD", "PATCH"))


@lazy_call
def render(
    url: str, *, mode: str = "text", wait_after_loaded: str | None = None
) -> Lazy[str | Image]:
    """Return the page at `url` as a browser shows it.

    `mode` chooses its `"text"`, the `"html"` inside its body, or an `Image` (`"screenshot"`).
    `wait_after_loaded` gives scripts of the page time, such as `"500ms"` or `"2s"`.
    """
    asked = {"url": url, "mode": mode, "wait_after_loaded": wait_after_loaded or "0ms"}
    return ask_module({"WebRender": asked}, _image if mode == "screenshot" else _text)


def _image(answer: dict[str, Any]) -> Image:
    image = object.__new__(Image)  # `pil` is made when it is read.
    image.raw = answer["image"]
    return image


def _text(answer: dict[str, Any]) -> str:
    return answer["text"]


def _raw(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


__all__ = ("Response", "delete", "get", "head", "patch", "post", "render", "request")

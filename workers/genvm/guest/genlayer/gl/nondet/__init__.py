"""`gl.nondet`: prompts to language models; and, as `gl.nondet.web`, the web. Nondet blocks only.

Source: docs/spec/07-python-sdk.md#13-glnondet.
"""

from __future__ import annotations

from ..._machine.wire import Lazy, call_host, lazy_call
from ...py.calldata import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from . import web
    from .web import Image


class NondetException(Exception):
    """A module could not do what was asked: `args[0]` is what it says of that, whole.

    It is a map, with the codes of the error in `causes` and more about it in `ctx`.
    """


@lazy_call
def exec_prompt(
    prompt: str,
    *,
    response_format: str = "text",
    images: Sequence[bytes | Image] | None = None,
    **_ignored: Any,
) -> Lazy[str | dict[str, Any]]:
    """Return what a language model answers: `str`, or a `dict` for the `response_format` `"json"`.

    `images` are up to two PNG or JPEG files, as bytes or as `web.render` gives them.
    """
    pictures = [getattr(image, "raw", image) for image in images or ()]
    request = {"prompt": prompt, "response_format": response_format, "images": pictures}
    return ask_module({"ExecPrompt": request})


@lazy_call
def get_webpage(url: str, *, mode: str = "text") -> Lazy[Any]:
    """Return the page at `url`: the older name of `gl.nondet.web.render`."""
    return __getattr__("web").render.lazy(url, mode=mode)


def ask_module(
    request: dict[str, Any], read: Callable[[Any], Any] = lambda answer: answer
) -> Lazy[Any]:
    """Ask a module at once; its answer goes through `read` when somebody wants it.

    To get an error of the module raises `NondetException`.
    """
    raw = call_host(request)

    def look() -> Any:
        answer = decode(raw)
        if error := answer.get("error"):
            raise NondetException(error)
        return read(answer["ok"])

    return Lazy(look)


def __getattr__(name: str) -> Any:
    if name in ("web", "Image"):
        # Not `from . import web`, which asks this function for `web` first.
        loaded = __import__(f"{__name__}.web", None, None, ("",))
        return loaded if name == "web" else loaded.Image
    if name == "ExecPromptKwArgs":
        return _exec_prompt_arguments()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _exec_prompt_arguments() -> Any:
    from typing import TypedDict

    fields = {"response_format": str, "images": list}
    return TypedDict("ExecPromptKwArgs", fields, total=False)


__all__ = ("Image", "exec_prompt", "web")

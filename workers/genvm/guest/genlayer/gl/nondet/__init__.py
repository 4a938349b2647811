"""`gl.nondet`: prompts to language models; and, as `gl.nondet.web`, the web. Nondet blocks only."""

from __future__ import annotations

from ..._machine.wire import Lazy, call_host, lazy_call, module_result
from ..._machine.wire import NondetException as NondetException
from . import web
from .web import Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORMATS = ("text", "json")


@lazy_call
def exec_prompt(
    prompt: str, *, response_format: str = "text", images: Any = None, **_older: Any
) -> Lazy[str | dict[str, Any]]:
    """Return what a language model answers: `str`, or a `dict` for the `response_format` `"json"`.

    `images` are up to two PNG or JPEG files, as bytes or as `web.render` gives them.
    """
    if response_format not in _FORMATS:
        raise ValueError(f"response_format is text or json, got {response_format!r}")
    pictures = [getattr(image, "raw", image) for image in images or ()]
    request = {"prompt": prompt, "response_format": response_format, "images": pictures}
    raw = call_host({"ExecPrompt": request})
    return Lazy(lambda: module_result(raw))


@lazy_call
def exec_prompt_template(template: str, **values: str) -> Lazy[Any]:
    """Return what a language model answers to one of the node's own prompts.

    Source: docs/spec/05-modules.md#llm-configuration.
    """
    raw = call_host({"ExecPromptTemplate": {"template": template} | values})
    return Lazy(lambda: module_result(raw))


@lazy_call
def get_webpage(url: str, *, mode: str = "text") -> Lazy[Any]:
    """Return the page at `url`: the older name of `gl.nondet.web.render`."""
    return web.render.lazy(url, mode=mode)


__all__ = ("Image", "exec_prompt", "web")

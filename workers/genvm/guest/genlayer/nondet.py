"""`gl.nondet`: prompts to language models; and, as `gl.nondet.web`, the web. Nondet blocks only."""

from __future__ import annotations

from . import web
from .calldata import decode
from .wire import Lazy, UserError, ask, lazy_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORMATS = ("text", "json")


class NondetException(UserError):
    """The module could not do it: `causes` are codes, the most general one first, `ctx` a map.

    Not caught, it ends the block as a user error, whose value is a map of both.
    """

    def __init__(self, causes: list[str], ctx: dict[str, Any]) -> None:
        super().__init__({"causes": causes, "ctx": ctx})
        self.causes = causes
        self.ctx = ctx

    def __str__(self) -> str:
        return ": ".join(self.causes)


def module_result(raw: bytes) -> Any:
    """The value that a module answered; its error is raised."""
    answer = decode(raw)
    if "error" in answer:
        raise NondetException(**answer["error"])
    return answer["ok"]


@lazy_call
def exec_prompt(
    prompt: str, *, response_format: str = "text", images: Any = None, **_older: Any
) -> Lazy[str | dict[str, Any]]:
    """What a language model answers: `str`, or a `dict` for the `response_format` `"json"`.

    `images` are up to two PNG or JPEG files, as bytes or as `web.render` gives them.
    """
    if response_format not in _FORMATS:
        raise ValueError(f"response_format is text or json, got {response_format!r}")
    pictures = [getattr(image, "raw", image) for image in images or ()]
    request = {"prompt": prompt, "response_format": response_format, "images": pictures}
    raw = ask({"ExecPrompt": request})
    return Lazy(lambda: module_result(raw))


@lazy_call
def exec_prompt_template(template: str, **values: str) -> Lazy[Any]:
    """What a language model answers to one of the node's own prompts.

    Source: docs/spec/05-modules.md#llm-configuration.
    """
    raw = ask({"ExecPromptTemplate": {"template": template} | values})
    return Lazy(lambda: module_result(raw))


@lazy_call
def get_webpage(url: str, *, mode: str = "text") -> Lazy[Any]:
    """The older name of `gl.nondet.web.render`."""
    return web.render.lazy(url, mode=mode)


__all__ = ("NondetException", "exec_prompt", "get_webpage", "web")

"""What executors ask, and how a model's words become their answer.

Source: docs/spec/05-modules.md#llm-requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from msgspec import Struct

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.validation import from_value
from genvm_manager.protocol.module_frames import FatalFault, ModuleRequest, UserFault

from .config import Templates
from .images import Image, read_images
from .json_answers import NotAnObject, object_in
from .normalise import normalise, without_invisible
from .templates import REQUESTED

MAX_PROMPT = 1 << 20
"""Characters of a prompt, or of all texts for a template together."""

ASK_FOR_JSON = "Answer with one JSON object and nothing else."
"""What the system message says when an object is wanted; providers' JSON modes want the word."""

T = TypeVar("T")


class InvalidAnswer(Exception):
    """What the model said cannot be the answer. `code` says why, as `ctx` spells it; asked once
    more it may do better if `is_worth_a_retry`."""

    def __init__(self, code: str, message: str, *, is_worth_a_retry: bool) -> None:
        super().__init__(message)
        self.code = code
        self.is_worth_a_retry = is_worth_a_retry


@dataclass(frozen=True, slots=True)
class Question:
    """What to send to a model. `read` makes the answer of its text, or raises `InvalidAnswer`."""

    system: str | None
    user: str
    images: tuple[Image, ...]
    wants_json: bool
    read: Callable[[str], Any]


def read_question(request: ModuleRequest, templates: Templates) -> Question:
    """The question in a request.

    Raises `UserFault` for what a contract may get wrong, and `FatalFault`, naming the field, for a
    request that is not of the form that an executor must keep to.
    """
    if request.name == "Prompt":
        return _prompt(_form(request, _PromptRequest).payload)
    if request.name == "PromptTemplate":
        return _template(_form(request, _TemplateRequest).payload, templates)
    raise FatalFault(f"unknown request {request.name[:40]!r}; expected Prompt or PromptTemplate")


class _Prompt(Struct):
    prompt: str
    response_format: Literal["text", "json"] = "text"
    images: list[bytes] | None = None


class _PromptRequest(Struct):
    payload: _Prompt


class _TemplateRequest(Struct):
    payload: dict[str, Any]


def _form(request: ModuleRequest, kind: type[T]) -> T:
    try:
        return from_value(request.payload, kind)
    except BadRequest as error:
        raise FatalFault(f"{request.name}: {error.message}") from None


def _prompt(asked: _Prompt) -> Question:
    _check_length(len(asked.prompt))
    prompt = normalise(asked.prompt)
    if not prompt:
        raise UserFault(["EMPTY_PROMPT"])
    images = read_images(asked.images or [])
    if asked.response_format == "json":
        return Question(ASK_FOR_JSON, prompt, images, True, _object)
    return Question(None, prompt, images, False, _text)


def _template(fields: dict[str, Any], templates: Templates) -> Question:
    name = fields.get("template")
    kind = REQUESTED.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FatalFault(
            f"PromptTemplate: payload.template: expected one of {', '.join(REQUESTED)}"
        )
    texts = {each: _text_field(fields, each) for each in kind.placeholders}
    _check_length(sum(map(len, texts.values())))
    filled = templates.of(kind).filled(
        {each: without_invisible(text) for each, text in texts.items()}
    )
    if not kind.is_judge:
        return Question(filled.system, filled.user, (), False, _text)
    return Question(_mentions_json(filled.system, filled.user), filled.user, (), True, _verdict)


def _text_field(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        found = type(value).__name__ if name in fields else "nothing"
        raise FatalFault(f"PromptTemplate: payload.{name}: expected str, got {found}")
    return value


def _check_length(length: int) -> None:
    if length > MAX_PROMPT:
        raise UserFault(["PROMPT_TOO_LARGE"], {"characters": length, "max": MAX_PROMPT})


def _mentions_json(system: str | None, user: str) -> str | None:
    """The system message, with a word on JSON if nobody said one."""
    if "json" in f"{system} {user}".lower():
        return system
    return f"{system}\n{ASK_FOR_JSON}" if system else ASK_FOR_JSON


def _text(answer: str) -> str:
    if not answer.strip():
        raise InvalidAnswer("EMPTY_ANSWER", "the model answered nothing", is_worth_a_retry=False)
    return answer


def _object(answer: str) -> dict[str, Any]:
    try:
        return object_in(_text(answer))
    except NotAnObject as error:
        raise InvalidAnswer("INVALID_JSON", str(error), is_worth_a_retry=True) from None


def _verdict(answer: str) -> bool:
    """A judge's answer: anything but a plain `true` is false."""
    return _object(answer).get("result") is True

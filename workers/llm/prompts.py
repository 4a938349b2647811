"""The prompts that executors send, and how a model's answer becomes theirs.

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
from .json_answers import object_in
from .normalise import normalise, without_invisible
from .templates import REQUESTED

MAX_PROMPT = 1 << 20
"""Characters of a prompt, or of all texts for a template together."""

ASK_FOR_JSON = "Answer with one JSON object and nothing else."
"""The system message when an object is wanted; providers' JSON modes need the word JSON in it."""

T = TypeVar("T")


class InvalidAnswer(Exception):
    """The model's answer has the wrong form.

    `code` says why, as in the fault's `ctx`. `may_retry`: the same model may do better next time.
    """

    def __init__(self, code: str, message: str, *, may_retry: bool) -> None:
        super().__init__(message)
        self.code = code
        self.may_retry = may_retry


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent to a model. `read` turns its text into the answer or raises `InvalidAnswer`."""

    system: str | None
    user: str
    images: tuple[Image, ...]
    wants_json: bool
    read: Callable[[str], Any]


def read_prompt(request: ModuleRequest, templates: Templates) -> Prompt:
    """Return the prompt in a request.

    Raises `UserFault` for an error of the contract, and `FatalFault`, naming the field, for a
    request that no executor may send.
    """
    if request.name == "Prompt":
        return _plain_prompt(_form(request, _PromptRequest).payload)
    if request.name == "PromptTemplate":
        return _template_prompt(_form(request, _TemplateRequest).payload, templates)
    raise FatalFault(f"unknown request {request.name[:40]!r}; expected Prompt or PromptTemplate")


class _PromptPayload(Struct):
    prompt: str
    response_format: Literal["text", "json"] = "text"
    images: list[bytes] | None = None


class _PromptRequest(Struct):
    payload: _PromptPayload


class _TemplateRequest(Struct):
    payload: dict[str, Any]


def _form(request: ModuleRequest, kind: type[T]) -> T:
    try:
        return from_value(request.payload, kind)
    except BadRequest as error:
        raise FatalFault(f"{request.name}: {error.message}") from None


def _plain_prompt(payload: _PromptPayload) -> Prompt:
    _check_length(len(payload.prompt))
    prompt = normalise(payload.prompt)
    if not prompt:
        raise UserFault(["EMPTY_PROMPT"])
    images = read_images(payload.images or [])
    if payload.response_format == "json":
        return Prompt(ASK_FOR_JSON, prompt, images, True, _object)
    return Prompt(None, prompt, images, False, _text)


def _template_prompt(fields: dict[str, Any], templates: Templates) -> Prompt:
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
        return Prompt(filled.system, filled.user, (), False, _text)
    return Prompt(_mentions_json(filled.system, filled.user), filled.user, (), True, _judgement)


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
    """Return the system message; it mentions JSON unless one of the two messages does."""
    if "json" in f"{system} {user}".lower():
        return system
    return f"{system}\n{ASK_FOR_JSON}" if system else ASK_FOR_JSON


def _text(answer: str) -> str:
    if not answer.strip():
        raise InvalidAnswer("EMPTY_ANSWER", "the model's answer is empty", may_retry=False)
    return answer


def _object(answer: str) -> dict[str, Any]:
    try:
        return object_in(_text(answer))
    except ValueError as error:
        raise InvalidAnswer("INVALID_JSON", str(error), may_retry=True) from None


def _judgement(answer: str) -> bool:
    """Return a judge's answer: anything but a plain `true` is false."""
    return _object(answer).get("result") is True

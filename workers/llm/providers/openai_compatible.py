"""The wire format of OpenAI's chat completions, which many services use."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from genvm_manager.base.validation import json_decoder

from .exchange import HttpRequest, Query, WireFormat, given


def _write(query: Query) -> HttpRequest:
    limit = "max_completion_tokens" if query.use_max_completion_tokens else "max_tokens"
    body = given(
        model=query.model,
        messages=_messages(query),
        temperature=query.temperature,
        response_format={"type": "json_object"} if query.wants_json else None,
        **{limit: query.max_tokens},
    )
    headers = {"authorization": f"Bearer {query.key.reveal()}"}
    return HttpRequest(f"{query.host}/v1/chat/completions", headers, body)


def _messages(query: Query) -> list[dict[str, Any]]:
    system = [] if query.system is None else [{"role": "system", "content": query.system}]
    return [*system, {"role": "user", "content": _content(query)}]


def _content(query: Query) -> str | list[dict[str, Any]]:
    if not query.images:
        return query.user
    urls = (f"data:{image.media_type};base64,{image.base64}" for image in query.images)
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"type": "text", "text": query.user}, *images]


class _Message(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Message


class _Completion(Struct):
    choices: list[_Choice]


def _read(body: bytes) -> str:
    choices = json_decoder(_Completion).decode(body).choices
    return (choices[0].message.content or "") if choices else ""


OPENAI_COMPATIBLE = WireFormat(_write, _read)

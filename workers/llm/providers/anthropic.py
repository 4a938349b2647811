"""The wire format of Anthropic's messages."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from genvm_manager.base.validation import json_decoder
from genvm_manager.protocol.llm_check import DEFAULT_MAX_TOKENS

from .exchange import HttpRequest, Query, WireFormat, given

VERSION = "2023-06-01"


def _write(query: Query) -> HttpRequest:
    body = given(
        model=query.model,
        max_tokens=query.max_tokens or DEFAULT_MAX_TOKENS,
        system=query.system,
        messages=[{"role": "user", "content": _content(query)}],
        temperature=query.temperature,
    )
    headers = {"x-api-key": query.key.reveal(), "anthropic-version": VERSION}
    return HttpRequest(f"{query.host}/v1/messages", headers, body)


def _content(query: Query) -> str | list[dict[str, Any]]:
    if not query.images:
        return query.user
    images = [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": each.media_type, "data": each.base64},
        }
        for each in query.images
    ]
    return [*images, {"type": "text", "text": query.user}]


class _Block(Struct):
    type: str
    text: str = ""


class _Message(Struct):
    content: list[_Block]


def _read(body: bytes) -> str:
    blocks = json_decoder(_Message).decode(body).content
    return "".join(block.text for block in blocks if block.type == "text")


ANTHROPIC = WireFormat(_write, _read)

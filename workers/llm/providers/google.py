"""The wire format of Google's `generateContent` (Gemini)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from msgspec import Struct

from genvm_manager.base.validation import json_decoder

from .exchange import HttpRequest, Query, WireFormat, given


def _write(query: Query) -> HttpRequest:
    settings = given(
        temperature=query.temperature,
        maxOutputTokens=query.max_tokens,
        responseMimeType="application/json" if query.wants_json else None,
    )
    body = given(
        contents=[{"role": "user", "parts": _parts(query)}],
        systemInstruction=None if query.system is None else {"parts": [{"text": query.system}]},
        generationConfig=settings or None,
    )
    url = f"{query.host}/v1beta/models/{quote(query.model, safe='')}:generateContent"
    return HttpRequest(url, {"x-goog-api-key": query.key.reveal()}, body)


def _parts(query: Query) -> list[dict[str, Any]]:
    images = [
        {"inlineData": {"mimeType": each.media_type, "data": each.base64}} for each in query.images
    ]
    return [*images, {"text": query.user}]


class _Part(Struct):
    text: str = ""
    thought: bool = False


class _Content(Struct):
    parts: list[_Part] = []


class _Candidate(Struct):
    content: _Content | None = None


class _Reply(Struct):
    candidates: list[_Candidate] = []
    """Empty when the prompt itself was refused."""


def _read(body: bytes) -> str:
    candidates = json_decoder(_Reply).decode(body).candidates
    content = candidates[0].content if candidates else None
    return "".join(part.text for part in content.parts if not part.thought) if content else ""


GOOGLE = WireFormat(_write, _read)

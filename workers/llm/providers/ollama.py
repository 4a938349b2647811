"""The wire format of Ollama's `generate`."""

from __future__ import annotations

from msgspec import Struct

from genvm_manager.base.validation import json_decoder

from .exchange import HttpRequest, Query, WireFormat, given


def _write(query: Query) -> HttpRequest:
    body = given(
        model=query.model,
        prompt=query.user,
        system=query.system,
        images=[image.base64 for image in query.images] or None,
        format="json" if query.wants_json else None,
        options=given(temperature=query.temperature, num_predict=query.max_tokens) or None,
        stream=False,
    )
    headers = {"authorization": f"Bearer {query.key.reveal()}"} if query.key else {}
    return HttpRequest(f"{query.host}/api/generate", headers, body)


class _Generated(Struct):
    response: str


def _read(body: bytes) -> str:
    return json_decoder(_Generated).decode(body).response


OLLAMA = WireFormat(_write, _read)

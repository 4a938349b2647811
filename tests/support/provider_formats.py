"""How providers of language models are spoken to, from their public documentation: the side of the
provider, written apart from `genvm_manager.workers.llm.providers` and sharing nothing with it.

Each format checks what it is sent as strictly as the provider does.
"""

from __future__ import annotations

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

Headers = Mapping[str, str]


class Refused(Exception):
    """The request is not what the provider documents."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Asked:
    """One request, in words that all formats share. `images` are (media type, bytes)."""

    model: str
    user: str
    system: str | None = None
    images: list[tuple[str, bytes]] = field(default_factory=list)
    wants_json: bool = False
    max_tokens: int | None = None
    max_tokens_name: str | None = None
    temperature: float | None = None

    @property
    def text(self) -> str:
        """All that the model reads."""
        return f"{self.system or ''}\n{self.user}"


class Format(ABC):
    """One provider's HTTP interface."""

    provider: ClassVar[str]

    @abstractmethod
    def check_key(self, headers: Headers, key: str) -> None:
        """Check the key in the headers. Raises `Refused`."""

    @abstractmethod
    def parse(self, path: str, body: dict[str, Any]) -> Asked:
        """Check a request and return what it contains. Raises `Refused`."""

    @abstractmethod
    def answer(self, asked: Asked, text: str) -> dict[str, Any]:
        """Return the reply's JSON for a text."""

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Return the reply's JSON for an error."""
        return {"error": {"message": message, "type": "error", "param": None, "code": None}}


def check(condition: object, message: str, status: int = 400) -> None:
    """Raise `Refused` unless a condition is true."""
    if not condition:
        raise Refused(status, message)


def take(body: dict[str, Any], **kinds: Any) -> dict[str, Any]:
    """Return the named fields of a body, of these types, or None; refuse any other field.

    A field named with `_required` must exist.
    """
    wanted = {name.removesuffix("_required"): kind for name, kind in kinds.items()}
    for name in body:
        check(name in wanted, f"unknown field {name}")
    for name, kind in kinds.items():
        plain = name.removesuffix("_required")
        check(plain in body or plain == name, f"{plain} is required")
        if plain in body:
            is_bool = isinstance(body[plain], bool)
            check(
                isinstance(body[plain], kind) and (not is_bool or kind is bool),
                f"{plain} has the wrong type",
            )
    return {name: body.get(name) for name in wanted}


def decode_image(media_type: str, data: str) -> tuple[str, bytes]:
    """Return the type and content of an image in base64."""
    check(media_type in ("image/png", "image/jpeg"), f"{media_type} is no image")
    return media_type, base64.b64decode(data, validate=True)


NUMBER = (int, float)


class OpenAi(Format):
    """https://platform.openai.com/docs/api-reference/chat"""

    provider = "openai-compatible"

    def check_key(self, headers: Headers, key: str) -> None:
        """Check the key in the headers. Raises `Refused`."""
        check(
            headers.get("authorization") == f"Bearer {key}",
            f"Incorrect API key provided: {headers.get('authorization')}",
            401,
        )

    def parse(self, path: str, body: dict[str, Any]) -> Asked:
        """Check a request and return what it contains. Raises `Refused`."""
        check(path == "/v1/chat/completions", f"Invalid URL (POST {path})", 404)
        fields = take(
            body,
            model_required=str,
            messages_required=list,
            temperature=NUMBER,
            response_format=dict,
            max_tokens=int,
            max_completion_tokens=int,
            stream=bool,
        )
        check(not fields["stream"], "streaming is not served here")
        named = [name for name in ("max_tokens", "max_completion_tokens") if name in body]
        check(len(named) <= 1, "max_tokens and max_completion_tokens exclude each other")
        asked = Asked(fields["model"], "", temperature=fields["temperature"])
        if named:
            asked.max_tokens, asked.max_tokens_name = body[named[0]], named[0]
        for message in fields["messages"]:
            self._read_message(asked, **take(message, role_required=str, content_required=object))
        if fields["response_format"] is not None:
            check(fields["response_format"] == {"type": "json_object"}, "response_format")
            check("json" in asked.text.lower(), "'messages' must contain the word 'json'")
            asked.wants_json = True
        return asked

    def _read_message(self, asked: Asked, role: str, content: Any) -> None:
        check(role in ("system", "user"), f"role {role}")
        if role == "system":
            check(isinstance(content, str), "content of system")
            asked.system = content
            return
        parts: list[dict[str, Any]] = (
            [{"type": "text", "text": content}] if isinstance(content, str) else content
        )
        for part in parts:
            if part["type"] == "text":
                asked.user += part["text"]
            else:
                check(part["type"] == "image_url", f"part {part['type']}")
                found = re.fullmatch(r"data:([\w/]+);base64,(.*)", part["image_url"]["url"])
                check(found, "image_url")
                assert found
                asked.images.append(decode_image(found[1], found[2]))

    def answer(self, asked: Asked, text: str) -> dict[str, Any]:
        """Return the reply's JSON for a text."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text,
            "refusal": None,
            "annotations": [],
        }
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": asked.model,
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
        }


class Anthropic(Format):
    """https://docs.anthropic.com/en/api/messages"""

    provider = "anthropic"

    def check_key(self, headers: Headers, key: str) -> None:
        """Check the key in the headers. Raises `Refused`."""
        check(headers.get("x-api-key") == key, "invalid x-api-key", 401)
        check(
            re.fullmatch(r"\d{4}-\d\d-\d\d", headers.get("anthropic-version", "")),
            "anthropic-version: header is required",
        )

    def parse(self, path: str, body: dict[str, Any]) -> Asked:
        """Check a request and return what it contains. Raises `Refused`."""
        check(path == "/v1/messages", "Not Found", 404)
        fields = take(
            body,
            model_required=str,
            max_tokens_required=int,
            messages_required=list,
            system=str,
            temperature=NUMBER,
            stream=bool,
        )
        check(not fields["stream"], "streaming is not served here")
        check(len(fields["messages"]) == 1, "one message is expected here")
        asked = Asked(
            fields["model"],
            "",
            system=fields["system"],
            max_tokens=fields["max_tokens"],
            max_tokens_name="max_tokens",
            temperature=fields["temperature"],
        )
        message = take(fields["messages"][0], role_required=str, content_required=object)
        check(message["role"] == "user", "the first message must be the user's")
        content = message["content"]
        blocks: list[dict[str, Any]] = (
            [{"type": "text", "text": content}] if isinstance(content, str) else content
        )
        for block in blocks:
            if block["type"] == "text":
                asked.user += block["text"]
            else:
                check(block["type"] == "image", f"block {block['type']}")
                source = take(
                    block["source"], type_required=str, media_type_required=str, data_required=str
                )
                check(source["type"] == "base64", "source.type")
                asked.images.append(decode_image(source["media_type"], source["data"]))
        check(asked.user, "messages: text content blocks must be non-empty")
        return asked

    def answer(self, asked: Asked, text: str) -> dict[str, Any]:
        """Return the reply's JSON for a text."""
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": [{"type": "text", "text": text}] if text else [],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 12},
        }

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Return the reply's JSON for an error."""
        return {"type": "error", "error": {"type": "api_error", "message": message}}


class Google(Format):
    """https://ai.google.dev/api/generate-content"""

    provider = "google"

    def check_key(self, headers: Headers, key: str) -> None:
        """Check the key in the headers. Raises `Refused`."""
        check(headers.get("x-goog-api-key") == key, "API key not valid.", 401)

    def parse(self, path: str, body: dict[str, Any]) -> Asked:
        """Check a request and return what it contains. Raises `Refused`."""
        found = re.fullmatch(r"/v1beta/models/([\w.-]+):generateContent", path)
        check(found, "Not Found", 404)
        assert found
        fields = take(body, contents_required=list, systemInstruction=dict, generationConfig=dict)
        settings = take(
            fields["generationConfig"] or {},
            temperature=NUMBER,
            maxOutputTokens=int,
            responseMimeType=str,
        )
        check(settings["responseMimeType"] in (None, "application/json"), "responseMimeType")
        limit = settings["maxOutputTokens"]
        asked = Asked(
            found[1],
            "",
            wants_json=settings["responseMimeType"] is not None,
            max_tokens=limit,
            max_tokens_name=None if limit is None else "maxOutputTokens",
            temperature=settings["temperature"],
        )
        check(len(fields["contents"]) == 1, "one content is expected here")
        content = take(fields["contents"][0], role=str, parts_required=list)
        check(content["role"] == "user", "role")
        for part in content["parts"]:
            self._read_part(asked, **take(part, text=str, inlineData=dict))
        if fields["systemInstruction"] is not None:
            parts = take(fields["systemInstruction"], parts_required=list, role=str)["parts"]
            asked.system = "".join(part["text"] for part in parts)
        return asked

    def _read_part(self, asked: Asked, text: str | None, inlineData: Any) -> None:  # noqa: N803
        check((text is None) != (inlineData is None), "a part has one field")
        if text is not None:
            asked.user += text
        else:
            image = take(inlineData, mimeType_required=str, data_required=str)
            asked.images.append(decode_image(image["mimeType"], image["data"]))

    def answer(self, asked: Asked, text: str) -> dict[str, Any]:
        """Return the reply's JSON for a text."""
        content = {"parts": [{"text": text}], "role": "model"} if text else {"role": "model"}
        return {
            "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 21},
            "modelVersion": asked.model,
            "responseId": "r1",
        }

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Return the reply's JSON for an error."""
        return {"error": {"code": status, "message": message, "status": "FAILED_PRECONDITION"}}


class Ollama(Format):
    """https://github.com/ollama/ollama/blob/main/docs/api.md"""

    provider = "ollama"

    def check_key(self, headers: Headers, key: str) -> None:
        """Check the key in the headers. Raises `Refused`."""
        sent = headers.get("authorization")
        check(sent in (None, f"Bearer {key}"), "unauthorized", 401)

    def parse(self, path: str, body: dict[str, Any]) -> Asked:
        """Check a request and return what it contains. Raises `Refused`."""
        check(path == "/api/generate", "404 page not found", 404)
        fields = take(
            body,
            model_required=str,
            prompt=str,
            system=str,
            images=list,
            format=str,
            options=dict,
            stream=bool,
        )
        check(fields["stream"] is False, "streaming, the default, is not served here")
        check(fields["format"] in (None, "json"), "format")
        options = take(fields["options"] or {}, temperature=NUMBER, num_predict=int)
        limit = options["num_predict"]
        images = [base64.b64decode(each, validate=True) for each in fields["images"] or []]
        return Asked(
            fields["model"],
            fields["prompt"] or "",
            system=fields["system"],
            images=[(_media_type(each), each) for each in images],
            wants_json=fields["format"] == "json",
            max_tokens=limit,
            max_tokens_name=None if limit is None else "num_predict",
            temperature=options["temperature"],
        )

    def answer(self, asked: Asked, text: str) -> dict[str, Any]:
        """Return the reply's JSON for a text."""
        return {
            "model": asked.model,
            "created_at": "2026-01-01T00:00:00.000000Z",
            "response": text,
            "done": True,
            "done_reason": "stop",
            "total_duration": 1_000_000,
            "eval_count": 12,
        }

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Return the reply's JSON for an error."""
        return {"error": message}


def _media_type(image: bytes) -> str:
    return "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"


FORMATS: dict[str, type[Format]] = {
    each.provider: each for each in (OpenAi, Anthropic, Google, Ollama)
}

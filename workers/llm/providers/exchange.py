"""What is common to all wire formats: one query becomes one request, and one answer a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from genvm_manager.base.text.secret import Secret
from genvm_manager.workers.llm.images import Image


@dataclass(frozen=True, slots=True)
class Query:
    """A prompt for one model of one provider.

    `host` has no slash at its end. None for `max_tokens` or `temperature`: the provider's default.
    """

    host: str
    key: Secret
    model: str
    user: str
    system: str | None = None
    images: tuple[Image, ...] = ()
    wants_json: bool = False
    max_tokens: int | None = None
    use_max_completion_tokens: bool = False
    temperature: float | None = None


class HttpRequest(NamedTuple):
    """A POST request; `body` is encoded as JSON. `headers` may hold the key."""

    url: str
    headers: dict[str, str]
    body: dict[str, Any]


class WireFormat(NamedTuple):
    """The wire format of one kind of provider.

    `write` returns the request. `read` returns the text in the JSON of a reply with status 200,
    empty without an answer, and raises `msgspec.MsgspecError` if the reply has another form.
    """

    write: Callable[[Query], HttpRequest]
    read: Callable[[bytes], str]


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}

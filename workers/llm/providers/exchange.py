"""What every provider's wire format is made from and gives: one request, one answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from genvm_manager.base.text.secret import Secret
from genvm_manager.workers.llm.images import Image


@dataclass(frozen=True, slots=True)
class Query:
    """A question to one model of one provider.

    `host` is without a slash at its end. None for `max_tokens` or `temperature`: the provider's
    own default.
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
    """A POST; `body` is what becomes JSON. `headers` may hold the key."""

    url: str
    headers: dict[str, str]
    body: dict[str, Any]


class WireFormat(NamedTuple):
    """How one kind of provider is spoken to.

    `write` makes the request. `read` takes the text out of the JSON of a reply with status 200,
    empty where the model said nothing; it raises `msgspec.MsgspecError` for another form.
    """

    write: Callable[[Query], HttpRequest]
    read: Callable[[bytes], str]


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}

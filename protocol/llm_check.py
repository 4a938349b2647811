"""Which providers work: what is asked of them, and what came of it.

Source: docs/spec/01-http-api.md#llm-check.

HTTP, the supervisor and the worker that asks all speak of it in these structs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Provider = Literal["openai-compatible", "anthropic", "google", "ollama"]
"""Wire formats of providers, as configurations name them.

Source: docs/spec/05-modules.md#llm-configuration.
"""

MAX_ROWS = 256
"""Configurations times prompts that one check may have."""

ROWS_AT_ONCE = 64
"""Of these, how many are asked at the same time."""

MAX_CHECKS = 4
"""Checks that a service has under way at once."""

ROW_TIMEOUT = 60.0
"""Seconds that one provider has for one prompt."""


MAX_HOST = 2_048
MAX_NAME = 256
MAX_KEY = 64 << 10
"""Characters; as many as a variable of `POST /env` may have bytes."""

MAX_TEXT = 1 << 20
MAX_IMAGES = 2
"""Characters and images of a prompt, as contracts have them."""


class CheckConfig(Struct, frozen=True):
    """A provider's model. In `key`, `${ENV[NAME]}` is filled in before a worker gets it."""

    host: Annotated[str, Meta(max_length=MAX_HOST)]
    provider: Provider
    model: Annotated[str, Meta(max_length=MAX_NAME)]
    key: Annotated[str, Meta(max_length=MAX_KEY)]

    def __repr__(self) -> str:
        """Shows no key: it may land in a log."""
        return f"<CheckConfig {self.provider} {self.model!r} at {self.host!r}>"


class CheckPrompt(Struct, frozen=True):
    """What each provider is asked. `images` are base64 in JSON."""

    system_message: Annotated[str, Meta(max_length=MAX_TEXT)] | None
    user_message: Annotated[str, Meta(max_length=MAX_TEXT)]
    temperature: Annotated[float, Meta(ge=0, le=2)]
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)]
    images: Annotated[list[bytes], Meta(max_length=MAX_IMAGES)] = []
    use_max_completion_tokens: bool = False


class CheckRow(Struct, frozen=True):
    """What one configuration made of one prompt; the indexes count from 0.

    `error` says why it is not available, `response` is what the model wrote.
    """

    config_index: int
    prompt_index: int
    available: bool
    error: str | None
    response: str | None

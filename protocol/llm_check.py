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

DEFAULT_MAX_TOKENS = 4096
"""The most tokens of an answer where nothing else limits them; Anthropic requires a limit."""

MAX_HOST = 2_048
MAX_NAME = 256
MAX_KEY = 64 << 10
"""Characters; as many as a variable of `POST /env` may have bytes."""

MAX_TEXT = 1 << 20
MAX_IMAGES = 2
"""Characters and images of a prompt, as contracts have them."""


class CheckConfig(Struct, frozen=True):
    """A model of a provider."""

    host: Annotated[
        str,
        Meta(
            max_length=MAX_HOST,
            description="The provider's address, without the path of its interface.",
            examples=["https://api.openai.com"],
        ),
    ]
    provider: Annotated[Provider, Meta(description="The wire format of its HTTP interface.")]
    model: Annotated[
        str, Meta(max_length=MAX_NAME, description="The model, as the provider names it.")
    ]
    key: Annotated[
        str,
        Meta(
            max_length=MAX_KEY,
            description="The API key; never logged or returned. `${ENV[NAME]}` is replaced by the "
            "variable's value.",
        ),
    ]

    def __repr__(self) -> str:
        """Describe the configuration without its key, as this may be logged."""
        return f"<CheckConfig {self.provider} {self.model!r} at {self.host!r}>"


class CheckPrompt(Struct, frozen=True):
    """A prompt for each provider."""

    system_message: Annotated[
        Annotated[str, Meta(max_length=MAX_TEXT)] | None, Meta(description="Null: none is sent.")
    ]
    user_message: Annotated[str, Meta(max_length=MAX_TEXT, description="The question.")]
    temperature: Annotated[
        float, Meta(ge=0, le=2, description="The sampling temperature, as providers take it.")
    ]
    max_tokens: Annotated[
        int, Meta(ge=1, le=1_000_000, description="The most tokens that the answer may have.")
    ]
    images: Annotated[
        list[bytes], Meta(max_length=MAX_IMAGES, description="PNG or JPEG files, as base64.")
    ] = []
    use_max_completion_tokens: Annotated[
        bool, Meta(description="Send `max_tokens` under the name that newer OpenAI models expect.")
    ] = False


class CheckRow(Struct, frozen=True):
    """The outcome of one prompt at one provider."""

    config_index: Annotated[int, Meta(description="Position in `configs`, from 0.")]
    prompt_index: Annotated[int, Meta(description="Position in `test_prompts`, from 0.")]
    available: Annotated[bool, Meta(description="Whether the provider answered.")]
    error: Annotated[str | None, Meta(description="Why it is not available; null when it is.")]
    response: Annotated[str | None, Meta(description="The text that the model wrote.")]

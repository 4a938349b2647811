"""The models that an LLM module's settings name (docs/spec/05-modules.md#llm-configuration)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from genvm_manager.base.validation import from_value
from genvm_manager.protocol.llm_check import DEFAULT_MAX_TOKENS, CheckConfig, CheckPrompt, Provider

DEFAULT_TEMPERATURE = 1.0
"""The default of providers; some models refuse any other."""


class _Model(Struct, frozen=True):
    enabled: bool = True
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    use_max_completion_tokens: bool = False


class _Backend(Struct, frozen=True):
    host: str
    provider: Provider
    models: dict[str, _Model]
    enabled: bool = True
    key: str = ""


class _Settings(Struct, frozen=True):
    backends: dict[str, _Backend] = {}


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model of a backend, with the parameters for its prompts."""

    backend: str
    config: CheckConfig
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float = DEFAULT_TEMPERATURE
    use_max_completion_tokens: bool = False

    def check_prompt(self, prompt: str) -> CheckPrompt:
        """Return the prompt as the module would send it to this model."""
        return CheckPrompt(
            system_message=None,
            user_message=prompt,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            use_max_completion_tokens=self.use_max_completion_tokens,
        )


def models_in(settings: Mapping[str, Any]) -> list[NamedModel]:
    """Return all enabled models. Raises `BadRequest` naming the invalid key."""
    backends = from_value(settings, _Settings).backends
    return [
        NamedModel(
            backend=backend_name,
            config=CheckConfig(backend.host, backend.provider, model_name, backend.key),
            max_tokens=model.max_tokens,
            temperature=DEFAULT_TEMPERATURE if model.temperature is None else model.temperature,
            use_max_completion_tokens=model.use_max_completion_tokens,
        )
        for backend_name, backend in backends.items()
        if backend.enabled
        for model_name, model in backend.models.items()
        if model.enabled
    ]

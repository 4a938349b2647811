"""The wire formats of providers, as in their public documentation.

Source: docs/spec/05-modules.md#llm-configuration.
"""

from __future__ import annotations

from .anthropic import ANTHROPIC
from .exchange import Query, WireFormat
from .google import GOOGLE
from .ollama import OLLAMA
from .openai_compatible import OPENAI_COMPATIBLE

WIRE_FORMATS: dict[str, WireFormat] = {
    "openai-compatible": OPENAI_COMPATIBLE,
    "anthropic": ANTHROPIC,
    "google": GOOGLE,
    "ollama": OLLAMA,
}
"""By the names that the configuration gives them."""

__all__ = ["WIRE_FORMATS", "Query"]

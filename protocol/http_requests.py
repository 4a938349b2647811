"""Documents that clients send to the HTTP API, but for run requests; field by field.

`manager/client` encodes them, the service validates them, and the OpenAPI document takes its
schemas and descriptions from them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from genvm_manager.base.logging.lines import Level

from .ipc.commands import StartModule
from .ipc.modules import ModuleKind
from .llm_check import CheckConfig, CheckPrompt

_KINDS = ", ".join(ModuleKind)


class PermitsBody(Struct, frozen=True):
    """A new number of permits."""

    permits: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="The new total; at least what the most expensive run takes.",
        ),
    ]


class LogLevelBody(Struct, frozen=True):
    """A new log level."""

    level: Annotated[Level, Meta(description="The least important level that is logged.")]


class EnvBody(Struct, frozen=True):
    """A variable for the configurations of modules."""

    key: Annotated[
        str,
        Meta(
            description="The variable's name: letters, digits and `_`; not one that changes how "
            "processes load code.",
            examples=["OPENAIKEY"],
        ),
    ]
    value: Annotated[str, Meta(description="The variable's value; never logged or returned.")]

    def __repr__(self) -> str:
        """Return the name alone: the value may be a secret."""
        return f"<EnvBody {self.key!r}>"


class ModuleBody(Struct, frozen=True):
    """The name of a module."""

    module_type: Annotated[
        str, Meta(description="`llm` or `web`, in any letter case.", examples=["llm"])
    ]

    def __post_init__(self) -> None:
        if self.module_type.lower() not in list(ModuleKind):
            raise ValueError(f"module_type: expected {_KINDS}, got {self.module_type[:40]!r}")

    @property
    def kind(self) -> ModuleKind:
        """Return the module: GenLayer Studio sends `Llm` and `Web`."""
        return ModuleKind(self.module_type.lower())


class ModuleStartBody(ModuleBody, frozen=True):
    """A module and how it is to start."""

    config: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Merged over the module's configuration file, key by key; an LLM "
            "configuration with `backends` replaces the file. Never logged or returned."
        ),
    ] = None
    allow_empty_backends: Annotated[
        bool, Meta(description="Start an LLM module although its `config` has no usable backend.")
    ] = False
    user_error: Annotated[
        bool, Meta(description="Answer every request to the module with a user error.")
    ] = False

    def __repr__(self) -> str:
        """Return the module's name alone: the configuration may hold keys."""
        return f"<{type(self).__name__} {self.module_type!r}>"

    def command(self, command: type[StartModule]) -> StartModule:
        """Return the supervisor's command, `StartModule` or `RestartModule`."""
        config = None if self.config is None else msgspec.json.encode(self.config)
        return command(self.kind, config, self.allow_empty_backends, self.user_error)


class LlmCheckBody(Struct, frozen=True):
    """A check of LLM providers: each configuration gets each prompt."""

    configs: Annotated[list[CheckConfig], Meta(description="The models to check.")]
    test_prompts: Annotated[list[CheckPrompt], Meta(description="The prompts for each of them.")]

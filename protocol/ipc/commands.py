"""The commands that the supervisor understands, one struct each.

Times are in seconds: durations as they are, points in time since 1970.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from genvm_manager.base.logging.lines import Level
from genvm_manager.protocol.contract.code import MAX_CODE
from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt

from .modules import ModuleKind
from .runs import Artifact, Capture, Selector


class Hello(Struct, tag=True, frozen=True):
    version: int
    client: str


class StartRun(Struct, tag=True, frozen=True):
    """Answered by `RunStarted` once the child runs. `deadline` counts from its start. `modules` are
    required, and the child is connected to them and no others."""

    selector: Selector
    timestamp: float
    host: str
    is_sync: bool
    modules: list[ModuleKind]
    permissions: str
    capture: Capture
    is_unsafe: bool
    deadline: float
    token: str | None
    extra_args: list[str]
    execution_data: bytes

    @property
    def needs_modules(self) -> bool:
        return bool(self.modules)


class ReadSchema(Struct, tag=True, frozen=True):
    """A run of a contract's `#get-schema` that may only read; the supervisor is its host.

    Answered by `RunStatus` when it has finished. The run ends when its client goes away.
    """

    major: int
    timestamp: float
    code: Annotated[bytes, Meta(max_length=MAX_CODE)]


class GetRun(Struct, tag=True, frozen=True):
    """Answered by `RunStatus`, at once or when the run finishes within `wait` seconds.

    Without outputs, which may be large, all that `Artifact` names is empty or None.
    """

    id: int
    wait: float = 0.0
    with_outputs: bool = True


class ReadArtifact(Struct, tag=True, frozen=True):
    """Answered by `ArtifactPart`: at most `MAX_ARTIFACT_PART` bytes from `offset` on."""

    id: int
    field: Artifact
    offset: Annotated[int, Meta(ge=0)]
    max_len: Annotated[int, Meta(ge=0)]


class CancelRun(Struct, tag=True, frozen=True):
    """Answered by `RunCancelled` when the run has finished; SIGKILL after `grace` seconds."""

    id: int
    grace: float


class StartModule(Struct, tag=True, frozen=True):
    """Answered by `Done` once the module answers requests.

    `config` is a JSON object; None: the module's file. It may hold keys, so it shows itself to
    nobody.
    """

    kind: ModuleKind
    config: bytes | None = None
    allow_empty_backends: bool = False
    user_error: bool = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.kind}>"


class RestartModule(StartModule, tag=True, frozen=True):
    """Answered by `Done` once a new one answers; when it does not start, the old one goes on."""


class StopModule(Struct, tag=True, frozen=True):
    """Answered by `ModuleStopped` when nothing is left of it."""

    kind: ModuleKind


class CheckLlm(Struct, tag=True, frozen=True):
    """Answered by `LlmChecked`: each configuration is asked each prompt."""

    configs: list[CheckConfig]
    prompts: list[CheckPrompt]


class GetStatus(Struct, tag=True, frozen=True):
    """Answered by `Status`."""


class WatchStatus(Struct, tag=True, frozen=True):
    """Answered by `Status`, once it has another revision than `known` or after `wait` seconds."""

    known: int
    wait: float


class GetPermits(Struct, tag=True, frozen=True):
    """Answered by `Permits`."""


class SetPermits(Struct, tag=True, frozen=True):
    """Answered by `Permits`."""

    total: int


class GetNewestMajor(Struct, tag=True, frozen=True):
    """Answered by `NewestMajor`: of what the manifest offers at a time."""

    timestamp: float


class ReadMetrics(Struct, tag=True, frozen=True):
    """Answered by `MetricsText`."""


class WatchLogLevel(Struct, tag=True, frozen=True):
    """Answered by `LogLevel`, once the level is not the `known` one or after `wait` seconds."""

    known: Level
    wait: float


class SetLogLevel(Struct, tag=True, frozen=True):
    """Answered by `LogLevel`. Holds until the supervisor ends."""

    level: Level


class ReloadManifest(Struct, tag=True, frozen=True):
    """Answered by `Done` when the file has been read and is in force."""


class SetEnv(Struct, tag=True, frozen=True):
    """Answered by `Done`: `${ENV[key]}` means `value` from now on, until the supervisor ends.

    It shows the value to nobody.
    """

    key: str
    value: str

    def __repr__(self) -> str:
        return f"<SetEnv {self.key!r}>"


Command = (
    StartRun
    | ReadSchema
    | GetRun
    | ReadArtifact
    | CancelRun
    | StartModule
    | RestartModule
    | StopModule
    | CheckLlm
    | GetStatus
    | WatchStatus
    | GetPermits
    | SetPermits
    | GetNewestMajor
    | ReadMetrics
    | WatchLogLevel
    | SetLogLevel
    | ReloadManifest
    | SetEnv
)

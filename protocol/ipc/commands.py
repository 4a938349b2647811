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
    """The first command of a connection; answered by `Welcome`."""

    version: int
    client: str


class StartRun(Struct, tag=True, frozen=True):
    """Start a run. Answered by `RunStarted` once its executor runs.

    `deadline` counts from that moment, in seconds. `modules` must be running; the executor is
    connected to these modules and to no others.
    """

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
        """Whether the run costs the permits of a run with modules."""
        return bool(self.modules)


class ReadSchema(Struct, tag=True, frozen=True):
    """Run a contract's `#get-schema`. The run may only read, and the supervisor is its host.

    Answered by `RunStatus` when the run has finished. Closing the connection ends the run.
    """

    major: int
    timestamp: float
    code: Annotated[bytes, Meta(max_length=MAX_CODE)]


class GetRun(Struct, tag=True, frozen=True):
    """Get a run. Answered by `RunStatus`, at once or when it finishes within `wait` seconds.

    Without outputs, which may be large, each output that `Artifact` names is empty or None.
    """

    id: int
    wait: float = 0.0
    with_outputs: bool = True


class ReadArtifact(Struct, tag=True, frozen=True):
    """Read a part of a run's output, from `offset` on. Answered by `ArtifactPart`.

    The part has at most `max_len` and at most `MAX_ARTIFACT_PART` bytes.
    """

    id: int
    field: Artifact
    offset: Annotated[int, Meta(ge=0)]
    max_len: Annotated[int, Meta(ge=0)]


class CancelRun(Struct, tag=True, frozen=True):
    """End a run: SIGTERM now, SIGKILL after `grace` seconds; without grace SIGKILL now.

    Answered by `RunCancelled` when the run has finished.
    """

    id: int
    grace: float


class StartModule(Struct, tag=True, frozen=True):
    """Start a module. Answered by `Done` once the module answers requests.

    `config` is a JSON object; None: the module's file. It may hold keys, so it is not shown by
    `repr`.
    """

    kind: ModuleKind
    config: bytes | None = None
    allow_empty_backends: bool = False
    user_error: bool = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.kind}>"


class RestartModule(StartModule, tag=True, frozen=True):
    """Replace a module by a new instance. Answered by `Done` once the new one answers requests.

    When the new one does not start, the old one goes on.
    """


class StopModule(Struct, tag=True, frozen=True):
    """Stop a module. Answered by `ModuleStopped` when none of its processes is left."""

    kind: ModuleKind


class CheckLlm(Struct, tag=True, frozen=True):
    """Send each prompt with each configuration. Answered by `LlmChecked`."""

    configs: list[CheckConfig]
    prompts: list[CheckPrompt]


class GetStatus(Struct, tag=True, frozen=True):
    """Get the status. Answered by `Status`."""


class WatchStatus(Struct, tag=True, frozen=True):
    """Wait for another revision than `known`. Answered by `Status`, then or after `wait` s."""

    known: int
    wait: float


class GetPermits(Struct, tag=True, frozen=True):
    """Get the concurrency budget. Answered by `Permits`."""


class SetPermits(Struct, tag=True, frozen=True):
    """Set the total number of permits. Answered by `Permits`."""

    total: int


class GetNewestMajor(Struct, tag=True, frozen=True):
    """Get the newest public-ABI major on offer at `timestamp`. Answered by `NewestMajor`."""

    timestamp: float


class ReadMetrics(Struct, tag=True, frozen=True):
    """Read all metrics. Answered by `MetricsText`."""


class SetLogLevel(Struct, tag=True, frozen=True):
    """Set the log level until the service ends. Answered by `LogLevel`."""

    level: Level
    is_configured: bool = False
    """Whether it is that of the settings: it ends what a client has set, and is not kept."""


class ReloadManifest(Struct, tag=True, frozen=True):
    """Read the manifest's file again. Answered by `Done` when its content is in force."""


class SetEnv(Struct, tag=True, frozen=True):
    """Set what `${ENV[key]}` means in configurations, until the service ends.

    Answered by `Done`. The value may be a secret, so it is not shown by `repr`.
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
    | SetLogLevel
    | ReloadManifest
    | SetEnv
)

"""What the supervisor understands: one struct per command, one per reply.

A connection carries frames (see `framing`) of MessagePack. The client sends `Hello` and gets
`Welcome`, then sends commands one at a time; each is answered by its reply or by a `Failure`.
Closing the connection abandons a command that waits, never one that acts. Times are in seconds:
durations as they are, points in time since 1970.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from genvm_manager.base import errors
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.validation import NOT_DECODED
from genvm_manager.protocol.contract.code import MAX_CODE

from .llm_check import CheckConfig, CheckPrompt, CheckRow

VERSION = 5
"""Both sides must name the same; it grows with each change that the other side would misread."""

MAX_REPLY = 320 << 20
"""Bytes of the longest reply: a result and three outputs of 64 MiB each, kept in full."""


class Capture(StrEnum):
    """How much of a run's output is kept."""

    NOTHING = "nothing"
    BRIEF = "brief"
    TAIL = "tail"
    EVERYTHING = "everything"


class RunState(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"


class Cause(StrEnum):
    """Why a run finished (docs/spec/03-run-request.md#life)."""

    EXITED = "exited"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    MEMORY = "memory"
    SHUTDOWN = "shutdown"
    LOST = "lost"


class Artifact(StrEnum):
    """An output of a run that can be read in parts."""

    STDOUT = "stdout"
    STDERR = "stderr"
    GENVM_LOG = "genvm_log"
    RESULT = "result"
    """What it handed over; there once it has finished."""


MAX_ARTIFACT_PART = 256 << 10
"""Bytes of an output that one `ReadArtifact` gives at most (docs/spec/01-http-api.md#runs)."""


class ModuleKind(StrEnum):
    """The modules there are (docs/spec/05-modules.md)."""

    LLM = "llm"
    WEB = "web"


class ModuleState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


class MajorSelector(Struct, tag="major", frozen=True):
    """The newest executor of this public-ABI major."""

    major: int


class VersionSelector(Struct, tag="version", frozen=True):
    """One exact executor, as the manifest names it."""

    version: str


Selector = MajorSelector | VersionSelector


class Exit(Struct, frozen=True):
    """How a process ended; both None: unknown."""

    code: int | None = None
    signal: int | None = None


# ------------------------------------------------------------------------------------- commands


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

# -------------------------------------------------------------------------------------- replies


class Welcome(Struct, tag=True, frozen=True):
    version: int
    program: str
    pid: int


class Failure(Struct, tag=True, frozen=True):
    """A `ManagerError` on its way to the client."""

    code: str
    message: str
    retry_after: int | None = None

    @classmethod
    def of(cls, error: errors.ManagerError) -> Failure:
        return cls(error.code, error.message, getattr(error, "retry_after", None))

    def error(self) -> errors.ManagerError:
        """The error itself, to be raised on this side."""
        if self.retry_after is not None:
            return errors.Unavailable(self.message, self.retry_after)
        return errors.from_wire(self.code, self.message)


class RunStarted(Struct, tag=True, frozen=True):
    id: int


class FinishedRun(Struct, frozen=True):
    """All that is kept of a run that is over. `genvm_log` is a JSON array of objects.

    `peak_rss` in bytes and `cpu_seconds` cover the executor's process; None: it never ran, or for
    `peak_rss` it was too short and too small to be measured.
    """

    id: int
    version: str | None
    cause: Cause
    exit: Exit
    reason: str | None
    accepted_at: float
    started_at: float | None
    finished_at: float
    stdout: bytes
    stderr: bytes
    genvm_log: bytes
    result: bytes | None
    stdout_dropped: int
    stderr_dropped: int
    log_dropped: int
    log_dropped_bytes: int
    peak_rss: int | None
    cpu_seconds: float | None


def without_outputs(run: FinishedRun) -> FinishedRun:
    """The run as `GetRun` gives it without outputs."""
    return msgspec.structs.replace(run, stdout=b"", stderr=b"", genvm_log=b"[]", result=None)


class RunStatus(Struct, tag=True, frozen=True):
    """`run` is None while it is queued or under way, and for an unknown id."""

    id: int
    run: FinishedRun | None


class ArtifactPart(Struct, tag=True, frozen=True):
    """`content` is empty from the output's end on. `total_len` is how much of the output is kept,
    and `dropped_bytes` how much was written before that and is not.

    Both grow until the run has finished; so long `genvm_log` lacks the bracket that closes the
    array. Each of its records is a line, after a bracket or a comma.
    """

    state: RunState
    dropped_bytes: int
    total_len: int
    content: bytes


class RunCancelled(Struct, tag=True, frozen=True):
    id: int


class Permits(Struct, tag=True, frozen=True):
    """The concurrency budget; `free` may be negative after the total was lowered."""

    free: int
    total: int
    in_use: int
    queued: int
    per_sync_run: int
    per_nondet_run: int


class Execution(Struct, frozen=True):
    """One run in `Status`; `pid` and the samples are None unless it runs.

    `cause` is there from the moment on from which it is to end.
    """

    id: int
    state: RunState
    cause: Cause | None
    version: str | None
    accepted_at: float
    started_at: float | None
    strict_deadline: float | None
    finished_at: float | None
    pid: int | None
    rss: int | None
    cpu_seconds: float | None


class ModuleWorker(Struct, frozen=True):
    """A place in a module's pool; `pid` and the samples are None while nobody is in it.

    `sessions` are the runs, and others who are connected, that it serves.
    """

    pid: int | None
    sessions: int
    rss: int | None
    cpu_seconds: float | None


class ModuleStatus(Struct, frozen=True):
    """`reason`: why it did not start, why it failed, or what it lacks while it runs. `retiring`:
    sessions of the one before it that still go on."""

    state: ModuleState
    reason: str | None
    since: float
    workers: list[ModuleWorker]
    retiring: int


class Status(Struct, tag=True, frozen=True):
    """`refusal`: why no run is taken now, if so. `under_way` are all that are not finished;
    `finished`, by `pack_executions`, the newest 100 that are, oldest first. The rest is counted.
    `audit` has a sentence for each thing that is not as it must be. `sampled_at`: when memory and
    processor time were looked at last. `revision` grows with each change that `WatchStatus` tells
    of; before the first it is 1.

    Packed, the finished ones need not be written and read again while they are the same.
    """

    revision: int
    refusal: str | None
    modules: dict[ModuleKind, ModuleStatus]
    permits: Permits
    under_way: list[Execution]
    finished: bytes
    executions_omitted: int
    sampled_at: float | None
    audit: list[str]

    @property
    def accepting(self) -> bool:
        """Whether new runs are taken."""
        return self.refusal is None

    @property
    def executions(self) -> list[Execution]:
        """All that is shown."""
        return self.under_way + unpack_executions(self.finished)


class ModuleStopped(Struct, tag=True, frozen=True):
    """`was_running`: there was something to stop."""

    was_running: bool


class LlmChecked(Struct, tag=True, frozen=True):
    """One row for each configuration and prompt, in this order."""

    rows: list[CheckRow]


class NewestMajor(Struct, tag=True, frozen=True):
    """A public-ABI major."""

    major: int


class MetricsText(Struct, tag=True, frozen=True):
    """In Prometheus' text format."""

    text: bytes


class LogLevel(Struct, tag=True, frozen=True):
    """The level in force in every process of ours."""

    level: Level


class Done(Struct, tag=True, frozen=True):
    """What was asked for is done, and there is nothing to tell of it."""


Reply = (
    Welcome
    | Failure
    | RunStarted
    | RunStatus
    | ArtifactPart
    | RunCancelled
    | ModuleStopped
    | LlmChecked
    | Permits
    | Status
    | NewestMajor
    | MetricsText
    | LogLevel
    | Done
)

_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Hello | Command] = msgspec.msgpack.Decoder(Hello | Command)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_executions = msgspec.msgpack.Decoder(list[Execution])


def pack_executions(executions: list[Execution]) -> bytes:
    """Executions as `Status` carries those that do not change any more."""
    return _encoder.encode(executions)


def unpack_executions(packed: bytes) -> list[Execution]:
    """What was given to `pack_executions`."""
    return _executions.decode(packed)


def encode(message: Hello | Command | Reply) -> bytes:
    """The body of a frame."""
    return _encoder.encode(message)


def decode_command(body: bytes) -> Hello | Command:
    """The command in a frame's body; `BadRequest` when it is none."""
    try:
        return _commands.decode(body)
    except NOT_DECODED as error:
        raise errors.BadRequest(f"command: {error}") from None


def decode_reply(body: bytes) -> Reply:
    """The reply in a frame's body; `ManagerError` when it is none."""
    try:
        return _replies.decode(body)
    except NOT_DECODED as error:
        raise errors.ManagerError(f"the supervisor's reply is not understood: {error}") from None

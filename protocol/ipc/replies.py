"""The replies of the supervisor, one struct each; `status` has the longest of them."""

from __future__ import annotations

from msgspec import Struct

from genvm_manager.base import errors
from genvm_manager.base.logging.lines import Level
from genvm_manager.protocol.llm_check import CheckRow

from .runs import FinishedRun, RunState
from .status import Permits, Status


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

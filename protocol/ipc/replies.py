"""The replies of the supervisor, one struct each; `status` has the longest of them."""

from __future__ import annotations

from msgspec import Struct

from genvm_manager.base import errors
from genvm_manager.base.logging.lines import Level
from genvm_manager.protocol.llm_check import CheckRow

from .runs import FinishedRun, RunState
from .status import Permits, Status


class Welcome(Struct, tag=True, frozen=True):
    """The reply to `Hello`. `pid` is the supervisor's."""

    version: int
    program: str
    pid: int


class Failure(Struct, tag=True, frozen=True):
    """The reply to a command that failed: a `ManagerError` on its way to the client."""

    code: str
    message: str
    retry_after: int | None = None

    @classmethod
    def of(cls, error: errors.ManagerError) -> Failure:
        """Encode an error."""
        return cls(error.code, error.message, getattr(error, "retry_after", None))

    def error(self) -> errors.ManagerError:
        """Return the error itself, to be raised by the client."""
        if self.retry_after is not None:
            return errors.Unavailable(self.message, self.retry_after)
        return errors.from_wire(self.code, self.message)


class RunStarted(Struct, tag=True, frozen=True):
    """The executor of the run with this id runs."""

    id: int


class RunStatus(Struct, tag=True, frozen=True):
    """`run` is None while the run is not finished, and for an unknown id."""

    id: int
    run: FinishedRun | None


class ArtifactPart(Struct, tag=True, frozen=True):
    """A part of a run's output. `content` is empty from the end of the output on.

    `total_len` is the number of bytes that are kept, `dropped_bytes` the number of those before
    them that are not. Both grow until the run has finished. Until then `genvm_log` lacks the
    bracket that closes the array. Each of its records is a line, after a bracket or a comma.
    """

    state: RunState
    dropped_bytes: int
    total_len: int
    content: bytes


class RunCancelled(Struct, tag=True, frozen=True):
    """The run with this id has finished."""

    id: int


class ModuleStopped(Struct, tag=True, frozen=True):
    """The module is stopped. `was_running`: there was something to stop."""

    was_running: bool


class LlmChecked(Struct, tag=True, frozen=True):
    """One row for each configuration and prompt, in this order."""

    rows: list[CheckRow]


class NewestMajor(Struct, tag=True, frozen=True):
    """The newest public-ABI major."""

    major: int


class MetricsText(Struct, tag=True, frozen=True):
    """All metrics in Prometheus' text format."""

    text: bytes


class LogLevel(Struct, tag=True, frozen=True):
    """The log level in force in every process of the service."""

    level: Level


class Done(Struct, tag=True, frozen=True):
    """The command was carried out; there is nothing else to report."""


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

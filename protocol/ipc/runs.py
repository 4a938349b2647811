"""Runs as they appear in commands and replies: selectors, states, causes, ends.

Times are in seconds: durations as they are, points in time since 1970.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct


class Capture(StrEnum):
    """How much of a run's output is kept."""

    NOTHING = "nothing"
    BRIEF = "brief"
    TAIL = "tail"
    EVERYTHING = "everything"


class RunState(StrEnum):
    """Where a run is, as clients are told (docs/spec/03-run-request.md#life)."""

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
    """The result that the run handed over; empty until the run has finished."""


MAX_ARTIFACT_PART = 256 << 10
"""Most bytes of an output that one `ReadArtifact` returns (docs/spec/01-http-api.md#runs)."""


class MajorSelector(Struct, tag="major", frozen=True):
    """Choose the newest executor of this public-ABI major."""

    major: int


class VersionSelector(Struct, tag="version", frozen=True):
    """Choose one exact executor, as the manifest names it."""

    version: str


Selector = MajorSelector | VersionSelector


class Exit(Struct, frozen=True):
    """How a process ended: its exit code, or the signal that ended it. Both None: unknown."""

    code: int | None = None
    signal: int | None = None

    @classmethod
    def of_returncode(cls, returncode: int) -> Exit:
        """Read a return code as `subprocess` gives it: -9 for a process that SIGKILL ended."""
        return cls(code=returncode) if returncode >= 0 else cls(signal=-returncode)


class FinishedRun(Struct, frozen=True):
    """All that is kept of a finished run. `genvm_log` is a JSON array of objects.

    `peak_rss` (bytes) and `cpu_seconds` are those of the executor's process. Both are None when it
    never ran; `peak_rss` is also None when the process was too short and too small to be measured.
    `contract_error` says why the contract ended with a VM error, in one line that may repeat text
    of the contract; None where the executor has not said.
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
    contract_error: str | None = None


def without_outputs(run: FinishedRun) -> FinishedRun:
    """Return the run as `GetRun` returns it without outputs."""
    return msgspec.structs.replace(run, stdout=b"", stderr=b"", genvm_log=b"[]", result=None)

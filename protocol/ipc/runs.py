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

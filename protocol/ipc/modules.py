"""The modules as they appear in commands and replies."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class ModuleKind(StrEnum):
    """The modules that exist (docs/spec/05-modules.md)."""

    LLM = "llm"
    WEB = "web"


class ModuleState(StrEnum):
    """Where a module is between its start and its stop."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"


class ModuleWorker(Struct, frozen=True):
    """One worker of a module's pool; `pid` and the samples are None while no process runs there.

    `sessions` is the number of connections that it serves, mostly of runs.
    """

    pid: int | None
    sessions: int
    rss: int | None
    cpu_seconds: float | None


class ModuleStatus(Struct, frozen=True):
    """One module. `reason`: why it did not start, why it failed, or what it lacks while it runs.

    `since`: when the state was entered. `retiring`: the number of sessions that the instance before
    this one, which was replaced by a restart, still serves.
    """

    state: ModuleState
    reason: str | None
    since: float
    workers: list[ModuleWorker]
    retiring: int

"""The modules as they appear in commands and replies."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


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

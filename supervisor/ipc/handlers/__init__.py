"""One file per command; `HANDLERS` is the register of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from genvm_manager.protocol.ipc.commands import (
    CancelRun,
    CheckLlm,
    GetNewestMajor,
    GetPermits,
    GetRun,
    GetStatus,
    ReadArtifact,
    ReadMetrics,
    ReadSchema,
    ReloadManifest,
    RestartModule,
    SetEnv,
    SetLogLevel,
    SetPermits,
    StartModule,
    StartRun,
    StopModule,
    WatchStatus,
)
from genvm_manager.protocol.ipc.replies import Reply
from genvm_manager.supervisor.service import Service

from .cancel_run import cancel_run
from .check_llm import check_llm
from .get_newest_major import get_newest_major
from .get_permits import get_permits
from .get_run import get_run
from .get_status import get_status
from .read_artifact import read_artifact
from .read_metrics import read_metrics
from .read_schema import read_schema
from .reload_manifest import reload_manifest
from .restart_module import restart_module
from .set_env import set_env
from .set_log_level import set_log_level
from .set_permits import set_permits
from .start_module import start_module
from .start_run import start_run
from .stop_module import stop_module
from .watch_status import watch_status


@dataclass(frozen=True, slots=True)
class Handler:
    """`handle` answers a command, or raises a `ManagerError`.

    `only_waits`: it ends when its client goes away, since it changes nothing or takes back what it
    has begun.
    """

    handle: Callable[[Service, Any], Awaitable[Reply]]
    only_waits: bool = False


HANDLERS: dict[type, Handler] = {
    StartRun: Handler(start_run),
    ReadSchema: Handler(read_schema, only_waits=True),
    GetRun: Handler(get_run, only_waits=True),
    ReadArtifact: Handler(read_artifact, only_waits=True),
    CancelRun: Handler(cancel_run),
    StartModule: Handler(start_module),
    RestartModule: Handler(restart_module),
    StopModule: Handler(stop_module),
    CheckLlm: Handler(check_llm, only_waits=True),
    GetStatus: Handler(get_status, only_waits=True),
    WatchStatus: Handler(watch_status, only_waits=True),
    GetPermits: Handler(get_permits, only_waits=True),
    SetPermits: Handler(set_permits),
    GetNewestMajor: Handler(get_newest_major, only_waits=True),
    ReadMetrics: Handler(read_metrics, only_waits=True),
    SetLogLevel: Handler(set_log_level),
    ReloadManifest: Handler(reload_manifest),
    SetEnv: Handler(set_env),
}

"""One file per command; `HANDLERS` is the register of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from protocol.ipc import (
    CancelRun,
    GetNewestMajor,
    GetPermits,
    GetRun,
    GetStatus,
    ReadArtifact,
    Reply,
    SetPermits,
    StartRun,
)

from ..service import Service
from .cancel_run import cancel_run
from .get_newest_major import get_newest_major
from .get_permits import get_permits
from .get_run import get_run
from .get_status import get_status
from .read_artifact import read_artifact
from .set_permits import set_permits
from .start_run import start_run


@dataclass(frozen=True, slots=True)
class Handler:
    """`handle` answers a command, or raises a `ManagerError`.

    `only_waits`: it changes nothing, so that it ends when its client goes away.
    """

    handle: Callable[[Service, Any], Awaitable[Reply]]
    only_waits: bool = False


HANDLERS: dict[type, Handler] = {
    StartRun: Handler(start_run),
    GetRun: Handler(get_run, only_waits=True),
    ReadArtifact: Handler(read_artifact, only_waits=True),
    CancelRun: Handler(cancel_run),
    GetStatus: Handler(get_status, only_waits=True),
    GetPermits: Handler(get_permits, only_waits=True),
    SetPermits: Handler(set_permits),
    GetNewestMajor: Handler(get_newest_major, only_waits=True),
}

"""The objects that operations get their answers from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from genvm_manager.protocol.readiness import Readiness

from .events.broadcaster import StatusBroadcaster
from .limits.concurrency import ConcurrencyLimits
from .supervisor_client import SupervisorClient


@dataclass(frozen=True, slots=True)
class Sources:
    """One worker's connection to the supervisor, the status as it changes, and the limits.

    `readiness` is shared with `serve`; None when HTTP was not started by it. `http_master` is the
    pid of gunicorn's master, the parent of the worker that makes this.
    """

    supervisor: SupervisorClient
    feed: StatusBroadcaster
    limits: ConcurrencyLimits
    readiness: Readiness | None
    http_master: int = field(default_factory=os.getppid)

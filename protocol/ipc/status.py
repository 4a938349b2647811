"""The reply to `GetStatus` and `WatchStatus`: runs, permits, modules, what is wrong."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from .modules import ModuleKind, ModuleStatus
from .runs import Cause, RunState

_encoder = msgspec.msgpack.Encoder()


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


def pack_executions(executions: list[Execution]) -> bytes:
    """Executions as `Status` carries those that do not change any more."""
    return _encoder.encode(executions)


def unpack_executions(packed: bytes) -> list[Execution]:
    """What was given to `pack_executions`."""
    return _executions.decode(packed)


_executions = msgspec.msgpack.Decoder(list[Execution])

"""The reply to `GetStatus` and `WatchStatus`: runs, permits, modules, what is wrong."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from .modules import ModuleKind, ModuleStatus
from .runs import Cause, RunState

_encoder = msgspec.msgpack.Encoder()


class Permits(Struct, tag=True, frozen=True):
    """The concurrency budget; `free` is negative while more are in use than a lowered total."""

    free: int
    total: int
    in_use: int
    queued: int
    per_sync_run: int
    per_nondet_run: int


class Execution(Struct, frozen=True):
    """One run in `Status`; `pid` and the samples are None unless it runs.

    `cause` is None until something has decided that the run is to end.
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
    """The state of the supervisor, of its runs and of its modules.

    `revision`: grows with each change that `WatchStatus` reports; before the first it is 1.
    `refusal`: why no run is accepted now; None: runs are accepted.
    `under_way`: all runs that are not finished.
    `finished`: the newest 100 that are, oldest first, by `pack_executions`. Packed, they need not
    be encoded and decoded anew while they stay the same.
    `executions_omitted`: how many more finished runs are retained.
    `sampled_at`: when memory and processor time were last measured.
    `audit`: one sentence for each invariant that is violated.
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
        """Whether new runs are accepted."""
        return self.refusal is None

    @property
    def executions(self) -> list[Execution]:
        """All runs that are shown."""
        return self.under_way + unpack_executions(self.finished)


def pack_executions(executions: list[Execution]) -> bytes:
    """Encode finished executions for `Status.finished`."""
    return _encoder.encode(executions)


def unpack_executions(packed: bytes) -> list[Execution]:
    """Decode what `pack_executions` has encoded."""
    return _executions.decode(packed)


_executions = msgspec.msgpack.Decoder(list[Execution])

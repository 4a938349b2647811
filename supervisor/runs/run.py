"""A run that is not finished: what the supervisor remembers of it."""

from __future__ import annotations

import asyncio
import time

import msgspec

from genvm_manager.base.wall_clock import utc
from genvm_manager.protocol.ipc.commands import StartRun
from genvm_manager.protocol.ipc.replies import ArtifactPart
from genvm_manager.protocol.ipc.runs import Artifact, Cause, FinishedRun, RunState
from genvm_manager.protocol.ipc.status import Execution
from genvm_manager.supervisor.settings.rules_manifest import Executor

from .child import Child
from .code_host import CodeHost, CodeStorage
from .rules_states import advanced
from .rules_tail import Tail
from .sampler import Sample


class Run:
    """Its request, its state, and who waits for it.

    `granted`: it has its permits, or need not wait for them any more since it is to end.
    `started`: its child runs; or the reason why it does not. `finished`: its end is on record.
    """

    def __init__(
        self,
        run_id: int,
        request: StartRun,
        executor: Executor,
        cost: int,
        storage: CodeStorage | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.id = run_id
        self.request = request
        self.executor = executor
        self.cost = cost
        self.storage = storage
        """What we serve to it ourselves, by `host`; None: it has a node."""

        self.host: CodeHost | None = None
        self.arrival = time.monotonic()
        self.granted_at = self.arrival
        """When it got its permits, by the monotonic clock as `arrival` is."""

        self.launched: float | None = None
        """When its process was started, by the monotonic clock."""

        self.state = RunState.QUEUED
        self.cause: Cause | None = None
        self.child: Child | None = None
        self.scratch: str | None = None
        self.reason: str | None = None
        self.timers: list[asyncio.TimerHandle] = []
        self.sample: Sample | None = None
        self.peak_rss = 0
        self.unrecorded: str | None = None
        """Why the store has not taken its end yet."""

        self.granted: asyncio.Future[None] = loop.create_future()
        self.started: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[FinishedRun | None] = loop.create_future()

    def advance(self, to: RunState) -> None:
        """Change the state; `IllegalTransition` when the table does not know the move."""
        self.state = advanced(self.id, self.state, to)

    @property
    def accepted_at(self) -> float:
        """When it came, in seconds since 1970 as these three."""
        return utc(self.arrival)

    @property
    def started_at(self) -> float | None:
        return None if self.launched is None else utc(self.launched)

    @property
    def strict_deadline(self) -> float | None:
        """When the run is ended at the latest."""
        return None if self.launched is None else utc(self.launched + self.request.deadline)

    @property
    def size(self) -> int:
        """Bytes that it holds until it is launched."""
        return len(self.request.execution_data) + (self.storage.size if self.storage else 0)

    def forget_execution_data(self) -> None:
        """The child has it now; it may be large."""
        self.request = msgspec.structs.replace(self.request, execution_data=b"")

    def drop_timers(self) -> None:
        """Nothing is due any more: the process has ended."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def observe(self, sample: Sample) -> None:
        """Take in a look at the process."""
        self.sample = sample
        self.peak_rss = max(self.peak_rss, sample.rss)

    def execution(self) -> Execution:
        """The run as `Status` shows it."""
        return Execution(
            id=self.id,
            state=self.state,
            cause=self.cause,
            version=self.executor.version,
            accepted_at=self.accepted_at,
            started_at=self.started_at,
            strict_deadline=self.strict_deadline,
            finished_at=None,
            pid=self.child.pid if self.child else None,
            rss=self.sample.rss if self.sample else None,
            cpu_seconds=self.sample.cpu_seconds if self.sample else None,
        )

    def part(self, output: Artifact, offset: int, length: int) -> ArtifactPart:
        """Up to `length` bytes of what is kept of an output by now."""
        kept = self.child.kept(output) if self.child else Tail(0)
        content = kept.part(offset, length)
        return ArtifactPart(self.state, kept.dropped_bytes, len(kept), content)

    def summary(self, finished: FinishedRun) -> Execution:
        """The run as `Status` shows it after its end."""
        return msgspec.structs.replace(
            self.execution(),
            state=RunState.FINISHED,
            cause=finished.cause,
            finished_at=finished.finished_at,
            pid=None,
            rss=None,
            cpu_seconds=finished.cpu_seconds,
        )


def settle(future: asyncio.Future[None]) -> None:
    """Let those who wait go on; legal more than once."""
    if not future.done():
        future.set_result(None)

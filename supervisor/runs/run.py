"""A run under way: what the supervisor remembers of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from genvm_manager.base.errors import ManagerError
from genvm_manager.base.wall_clock import utc
from genvm_manager.protocol.ipc.commands import StartRun
from genvm_manager.protocol.ipc.replies import ArtifactPart
from genvm_manager.protocol.ipc.runs import Artifact, Cause, FinishedRun, RunState
from genvm_manager.protocol.ipc.status import Execution
from genvm_manager.supervisor.settings.rules_manifest import Executor

from .child import Child
from .code_host import CodeHost, CodeStorage
from .rules_states import SHOWN, State
from .rules_tail import Tail
from .sampler import Sample


class Run:
    """The request, the state and the process of a run, and what others wait for.

    `ready`: set once the run holds its permits, or is to end before that.
    `started`: done once its executor runs, or with the reason why it does not.
    `finished`: done once its end is on record; None when it was withdrawn.
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
        """What the supervisor itself serves to the run, by `host`; None: the run has a node."""

        self.host: CodeHost | None = None
        self.arrival = time.monotonic()
        self.granted_at = self.arrival
        """When the run got its permits, by the monotonic clock as `arrival` is."""

        self.launched: float | None = None
        """When the executor was started, by the monotonic clock."""

        self.state = State.ACCEPTED
        """Only `RunTable.move` changes it."""

        self.acceptor: asyncio.Task[Any] | None = None
        self.life: asyncio.Task[None] | None = None
        """The tasks that see to the end of the run: before and after its intent is on record."""

        self.cause: Cause | None = None
        self.child: Child | None = None
        self.scratch: str | None = None
        self.reason: str | None = None
        self.timers: list[asyncio.TimerHandle] = []
        self.sample: Sample | None = None
        self.peak_rss = 0
        self.unrecorded: str | None = None
        """Why the end of the run could not be recorded yet."""

        self.ready = asyncio.Event()
        self.started: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[FinishedRun | None] = loop.create_future()

    @property
    def shown_state(self) -> RunState:
        """The state that clients are told."""
        return SHOWN[self.state]

    @property
    def pid(self) -> int | None:
        """The executor's process while it lives."""
        return None if self.child is None or self.child.is_over else self.child.pid

    @property
    def has_task(self) -> bool:
        """Whether a task sees to the end of the run."""
        task = self.life or self.acceptor
        return task is not None and not task.done()

    @property
    def accepted_at(self) -> float:
        """When the run was accepted, in seconds since 1970 as the next two are."""
        return utc(self.arrival)

    @property
    def started_at(self) -> float | None:
        """When the executor was started."""
        return None if self.launched is None else utc(self.launched)

    @property
    def strict_deadline(self) -> float | None:
        """When the run is stopped at the latest."""
        return None if self.launched is None else utc(self.launched + self.request.deadline)

    @property
    def size(self) -> int:
        """Bytes of memory that the run holds until it is launched."""
        return len(self.request.execution_data) + (self.storage.size if self.storage else 0)

    def forget_execution_data(self) -> None:
        """Drop the data that the executor has by now: it may be large."""
        self.request = msgspec.structs.replace(self.request, execution_data=b"")

    def tell_started(self) -> None:
        """Wake those who wait for the start of the run."""
        if not self.started.done():
            self.started.set_result(None)

    def tell_not_started(self, error: ManagerError) -> None:
        """Have those who wait for the start of the run raise `error`, unless it has started."""
        if not self.started.done():
            self.started.set_exception(error)
        # Nobody may wait: asyncio would log the exception as never retrieved.
        self.started.exception()

    def drop_timers(self) -> None:
        """Cancel what was to happen to the process, which has ended."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def observe(self, sample: Sample) -> None:
        """Keep a sample of the process, and the highest memory use."""
        self.sample = sample
        self.peak_rss = max(self.peak_rss, sample.rss)

    def execution(self) -> Execution:
        """Return the run as `Status` shows it."""
        return Execution(
            id=self.id,
            state=self.shown_state,
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
        """Return up to `length` bytes of what is kept of an output by now."""
        kept = self.child.kept(output) if self.child else Tail(0)
        content = kept.part(offset, length)
        return ArtifactPart(self.shown_state, kept.dropped_bytes, len(kept), content)

    def summary(self, finished: FinishedRun) -> Execution:
        """Return the run as `Status` shows it after its end."""
        return msgspec.structs.replace(
            self.execution(),
            state=RunState.FINISHED,
            cause=finished.cause,
            finished_at=finished.finished_at,
            pid=None,
            rss=None,
            cpu_seconds=finished.cpu_seconds,
        )

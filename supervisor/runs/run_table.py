"""The runs under way, by id, and the one place that moves them from state to state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.transitions import advanced
from genvm_manager.supervisor.telemetry.version import StatusVersion

from .admission_queue import AdmissionQueue
from .rules_states import LEASES, MOVES, OVER, SHOWN, LeaseStatus, State
from .run import Run


class RunTable:
    """Holds each run from its acceptance until it is over. Iterate over it in the order of ids."""

    def __init__(
        self, queue: AdmissionQueue, last_id: int, version: StatusVersion, log: EventLog
    ) -> None:
        """`last_id` is the id of the last run that was ever accepted."""
        self.queue = queue
        self.last_id = last_id
        self.on_change: list[Callable[[], None]] = []
        """Called after a run has come or gone, or the number of permits has changed."""

        self._version = version
        self._log = log
        self._runs: dict[int, Run] = {}

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, run_id: int) -> Run | None:
        """Return a run under way, or None."""
        return self._runs.get(run_id)

    def next_id(self) -> int:
        """Return a new id, greater than all before it."""
        self.last_id += 1
        return self.last_id

    def add(self, run: Run) -> None:
        """Put an accepted run at the end of the queue. Raise `Unavailable` when that is refused."""
        self.queue.add(run)
        self._runs[run.id] = run
        self.move(run, State.QUEUED)
        self._grant()
        self._changed()

    def move(self, run: Run, to: State) -> None:
        """Change a run's state, and give its permits or its place in the queue back if it leaves.

        Raise `RuntimeError` for a move that the table of states does not allow: it is a mistake in
        this program, and the run stays where it is.
        """
        before = run.state
        if to not in MOVES[before]:
            self._log.error("illegal_run_move", run=run.id, state=before, to=to)
        run.state = advanced(f"run {run.id}", MOVES, before, to)
        if SHOWN[to] is not SHOWN[before]:
            self._version.advance()
        if LEASES[to] is LeaseStatus.NONE and LEASES[before] is not LeaseStatus.NONE:
            self.queue.release(run)
            self._grant()

    def remove(self, run: Run) -> None:
        """Let go of a run. One that has recorded no end is withdrawn."""
        if run.state not in OVER:
            self.move(run, State.WITHDRAWN)
        del self._runs[run.id]
        self._changed()

    def resize(self, total: int) -> None:
        """Change the number of permits. Raise `BadRequest` below what the dearest run costs."""
        self.queue.resize(total)
        self._grant()
        self._changed()

    def _changed(self) -> None:
        self._version.advance()
        for tell in self.on_change:
            tell()

    def _grant(self) -> None:
        for run in self.queue.grant():
            run.granted_at = time.monotonic()
            self.move(run, State.GRANTED)
            run.ready.set()

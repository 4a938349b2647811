"""What the supervisor says of itself: its status, what is wrong, and whether it accepts runs."""

from __future__ import annotations

import asyncio
import time

from genvm_manager.base.errors import Refusal, Unavailable
from genvm_manager.base.wall_clock import utc
from genvm_manager.protocol.ipc.commands import WatchStatus
from genvm_manager.protocol.ipc.status import Status
from genvm_manager.supervisor.runs.history import MAX_SHOWN, History
from genvm_manager.supervisor.runs.invariant_checker import InvariantChecker
from genvm_manager.supervisor.runs.lifecycle import RunLifecycle

from .controls import SHUTTING_DOWN, Controls

_CHECK_AFTER = 0.1
"""Seconds from an event (a run has come or gone, the budget has changed) until the invariants are
checked: one check serves all events in between."""


class Health:
    """Collects what `Status` shows, and decides whether runs are accepted."""

    def __init__(self, life: RunLifecycle, controls: Controls) -> None:
        self.history = History(life.store.reads.newest_finished(MAX_SHOWN))
        self._runs = life.runs
        self._modules = life.modules
        self._store = life.store
        self._version = life.version
        self._controls = controls
        self._checker = InvariantChecker(life.runs, life.reaper, life.log)
        self._check_timer: asyncio.TimerHandle | None = None
        self._sampled_at: float | None = None
        self._state_fault: str | None = None
        self._shown: tuple[str | None, list[str]] = (None, [])
        life.runs.on_change.append(self._check_soon)

    def status(self) -> Status:
        """Return what is going on. The store is not asked."""
        return Status(
            revision=self._version.revision,
            refusal=self._refusal,
            modules=self._modules.status(),
            permits=self._runs.queue.counts(),
            under_way=[run.execution() for run in self._runs],
            finished=self.history.packed,
            executions_omitted=self.history.omitted(self._store.retained_runs),
            sampled_at=None if self._sampled_at is None else utc(self._sampled_at),
            audit=self._checker.sentences,
        )

    async def watch_status(self, command: WatchStatus) -> Status:
        """Return the status once something has changed, or after the time given."""
        await self._version.wait_for_change(command.known, command.wait)
        return self.status()

    def require_accepting(self) -> None:
        """Raise `Unavailable` when no run is accepted now."""
        self._controls.require_staying()
        if self._state_fault is not None:
            raise Unavailable(self._state_fault, 5, Refusal.STORE)
        failure = self._store.failure
        if failure and (self._store.is_damaged or any(run.unrecorded for run in self._runs)):
            raise Unavailable(failure, 5, Refusal.STORE)

    def check(self) -> None:
        """Check the invariants now. `status` shows what is violated."""
        if self._check_timer is not None:
            self._check_timer.cancel()
            self._check_timer = None
        self._checker.check(self._state_fault)
        shown = (self._refusal, self._checker.sentences)
        if shown != self._shown:
            self._shown = shown
            self._version.advance()

    def set_state_fault(self, fault: str | None) -> None:
        """Note why nothing can be kept in the state folder; None: it can."""
        if fault != self._state_fault:
            self._state_fault = fault
            self.check()

    def note_samples(self) -> None:
        """Note that all executors have been sampled."""
        self._sampled_at = time.monotonic()
        self._version.advance()

    @property
    def _refusal(self) -> str | None:
        if self._controls.is_closed:
            return SHUTTING_DOWN
        return self._state_fault or self._store.failure

    def _check_soon(self) -> None:
        if self._check_timer is None:
            loop = asyncio.get_running_loop()
            self._check_timer = loop.call_later(_CHECK_AFTER, self.check)

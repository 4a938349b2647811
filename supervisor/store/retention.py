"""Keeping what is retained of finished runs within its time and its bytes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.supervisor.runs.history import History
from genvm_manager.supervisor.telemetry.version import Changes

from .failure import StoreFailed
from .store import RunStore

PERIOD = 1.0
"""Seconds between two looks at what is too old."""

LOOK_PERIOD = 0.5
"""Seconds between two looks at the files, which each operation begins with."""

_PRUNE_STEP = 100
"""Runs per transaction: between two steps others get to write."""

_REPORT_PERIOD = 10.0


class StoreUpkeep:
    """Prunes the store, gives its unused space back, and tries a disk that takes no writes."""

    def __init__(
        self,
        store: RunStore,
        history: History,
        changes: Changes,
        retention: float,
        log: EventLog,
    ) -> None:
        """`retention`: seconds for which a finished run is kept."""
        self._store = store
        self._history = history
        self._changes = changes
        self._retention = retention
        self._log = log
        self._crowded_out = 0
        self._reported_at = -_REPORT_PERIOD

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(self._repeat(self._keep_within_bounds), self._repeat(self._keep_small))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreFailed:
                # The store has logged it.
                await asyncio.sleep(PERIOD)
            except Exception:
                self._log.failure("upkeep_failed", work=work.__name__)
                await asyncio.sleep(PERIOD)

    async def _keep_within_bounds(self) -> None:
        if self._store.failure is not None:
            await self._store.touch()
        await self._prune()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._store.crowded.wait(), PERIOD)

    async def _prune(self) -> None:
        pruned = None
        while pruned is None or len(pruned.ids) == _PRUNE_STEP:
            pruned = await self._store.prune(self._retention, _PRUNE_STEP)
            self._history.forget(pruned.ids)
            if pruned.ids:
                self._changes.note()
            self._crowded_out += pruned.crowded_out
        self._report()

    def _report(self) -> None:
        """Not for each run: there may be a thousand a second."""
        now = time.monotonic()
        if self._crowded_out and now - self._reported_at >= _REPORT_PERIOD:
            self._log.warning(
                "runs_crowded_out",
                count=self._crowded_out,
                retained_bytes=self._store.retained_bytes,
            )
            self._crowded_out = 0
            self._reported_at = now

    async def _keep_small(self) -> None:
        """Takes a third of the writer's time at most: moving pages is slow, others wait."""
        began = time.monotonic()
        is_large = await self._store.shrink()
        await asyncio.sleep(2 * (time.monotonic() - began) if is_large else LOOK_PERIOD)

"""Keeps the retained runs within their time and their bytes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.supervisor.runs.history import History
from genvm_manager.supervisor.telemetry.version import StatusVersion

from .failure import StoreFailed
from .store import RunStore

PERIOD = 1.0
"""Seconds between two checks for runs that are too old."""

LOOK_PERIOD = 0.5
"""Seconds between two checks of the store's files: each operation begins with one."""

_PRUNE_STEP = 100
"""Runs per transaction: other writes are carried out between two steps."""

_REPORT_PERIOD = 10.0


class StoreUpkeep:
    """Prunes the store, gives unused space back, and retries a disk that refuses writes."""

    def __init__(
        self,
        store: RunStore,
        history: History,
        version: StatusVersion,
        retention: float,
        log: EventLog,
    ) -> None:
        """`retention`: seconds that a finished run is kept."""
        self._store = store
        self._history = history
        self._version = version
        self._retention = retention
        self._log = log
        self._crowded_out = 0
        self._reported_at = -_REPORT_PERIOD

    async def run(self) -> None:
        """Run until cancelled."""
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
                self._version.advance()
            self._crowded_out += pruned.crowded_out
        self._report()

    def _report(self) -> None:
        """Log the runs that were pruned for want of room, at most once in `_REPORT_PERIOD`."""
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
        """Shrink the file, in a third of the writer's time at most: other writes wait for it."""
        began = time.monotonic()
        is_large = await self._store.shrink()
        await asyncio.sleep(2 * (time.monotonic() - began) if is_large else LOOK_PERIOD)

"""The run store: accepted runs, how they ended, and their outputs until retention ends.

Each method that writes returns when the write is on the disk (WAL with full synchronisation), and
raises `StoreFailed` otherwise.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence

from genvm_manager.base.files.state_folder import last_run_id, run_store
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.process.identity import boot_id
from genvm_manager.protocol.ipc.runs import FinishedRun

from . import writes
from .failure import StoreDamaged
from .file import open_store
from .file_watch import StoreFiles
from .group_commit import GroupCommit
from .last_run_id import LastRunId
from .reads import StoreReader
from .rules_retention_clock import RetentionClock
from .state_lock import HeldFolder
from .writes import Accepted, Arrived, Launched, Pruned, UnseenEnd

_ROOM_DIVISOR = 32
"""When the store is crowded, one part in so many is made free, so that it is not soon again."""


MARK_PERIOD = 60.0
"""Seconds between two recordings of the retention clock, while runs age."""


class RunStore:
    """Owns the database. `instance` is its name; with `is_same_place` its pids can still be valid.

    `retained_bytes`: the bytes of the finished runs, their outputs and a little for each.
    """

    def __init__(
        self,
        held: HeldFolder,
        max_bytes: int,
        loop: asyncio.AbstractEventLoop,
        log: EventLog,
        id_elsewhere: int = 0,
    ) -> None:
        """Open the store. Raise `StoreUnusable`.

        `max_bytes` bounds the bytes of finished runs. Ids up to `id_elsewhere` may have been given;
        that counts if the folder has no record of ids.
        """
        path = run_store(held.path)
        connection, self.instance, self.is_same_place = open_store(path)
        self._log = log
        self._max_bytes = max_bytes
        self._last_run_id = LastRunId(last_run_id(held.path))
        self.last_id = self._continued(connection, id_elsewhere)
        """The last id that may have been given."""
        self.reads = StoreReader(path, loop, self._found_damage)
        began = _uptime()
        self._clock = RetentionClock(*writes.retention_mark(connection), boot_id(), began)
        self._mark(connection, began)
        self._files = StoreFiles(held, self._last_run_id, self.reads, log)
        self._writer = GroupCommit(loop, connection, self._files, self._failure_changed)
        self.retained_runs, self.retained_bytes = self.reads.retained()
        self.crowded = asyncio.Event()
        """Set while the finished runs have more bytes than they may."""
        self._count(0)

    @property
    def failure(self) -> str | None:
        """Why a write failed; None once something was written again."""
        return self._writer.failure

    @property
    def is_damaged(self) -> bool:
        """Whether the file is damaged, so that nothing new should be written to it."""
        return self._writer.is_damaged

    async def accept(self, run: Accepted) -> int:
        """Record a run. Return its id, or that of the retained run with the same token."""

        def accept(connection: sqlite3.Connection) -> int:
            self._last_run_id.reserve(run.id)
            return writes.accept(connection, run)

        return await self._writer.submit(accept)

    async def launch(self, run: Launched) -> None:
        """Record a run's process."""
        await self._writer.submit(lambda connection: writes.launch(connection, run))

    async def withdraw(self, run_id: int) -> None:
        """Delete a run whose start failed."""
        await self._writer.submit(lambda connection: writes.withdraw(connection, run_id))

    def keep_result(self, run: Arrived) -> asyncio.Future[None]:
        """Record the result of a run that has not ended."""
        return self._writer.submit(
            lambda connection: writes.keep_result(connection, run), len(run.result)
        )

    async def finish(self, run: FinishedRun) -> None:
        """Record a run's end and output, and its result unless it is on record.

        The caller must call it again until it succeeds.
        """
        size = sum(map(len, (run.stdout, run.stderr, run.genvm_log, run.result or b"")))
        await self._writer.submit(
            lambda connection: writes.finish(connection, run, self._clock.at(_uptime())),
            size,
            insists=True,
        )
        self.retained_runs += 1
        self._count(size + writes.RUN_BYTES)

    async def finish_unseen(self, runs: Sequence[UnseenEnd], finished_at: float) -> None:
        """Record the ends of runs that ended unseen."""
        await self._writer.submit(
            lambda connection: writes.finish_unseen(
                connection, runs, finished_at, self._clock.at(_uptime())
            )
        )
        self.retained_runs, self.retained_bytes = self.reads.retained()

    async def prune(self, retention: float, limit: int) -> Pruned:
        """Delete up to `limit` runs.

        These are the runs kept for longer than `retention` seconds, and the oldest while the store
        has too many bytes.
        """
        excess = 0
        if self.retained_bytes > self._max_bytes:
            excess = self.retained_bytes - self._max_bytes + self._max_bytes // _ROOM_DIVISOR

        def prune(connection: sqlite3.Connection) -> Pruned:
            now = _uptime()
            if self.retained_runs and now - self._marked_at >= MARK_PERIOD:
                self._mark(connection, now)
            return writes.prune(connection, self._clock.at(now) - retention, excess, limit)

        pruned = await self._writer.submit(prune)
        self.retained_runs -= len(pruned.ids)
        self._count(-pruned.size)
        return pruned

    async def shrink(self) -> bool:
        """Give some of the file's unused space back to the disk. Return False if little is left."""
        return await self._writer.submit(writes.shrink)

    async def touch(self) -> None:
        """Write something, to find out whether the disk takes it."""
        await self._writer.submit(writes.touch)

    def close(self) -> None:
        """Write what is left, then close. Block until then."""
        self.reads.close()
        self._writer.close()
        self._files.close()

    def _mark(self, connection: sqlite3.Connection, uptime: float) -> None:
        """Record the time of the retention clock, which continues from there after a boot."""
        writes.put_mark(connection, self._clock.mark(uptime))
        self._marked_at = uptime

    def _continued(self, connection: sqlite3.Connection, id_elsewhere: int) -> int:
        """Return the last id that may have been given, and let the store continue from there."""
        on_record = writes.last_id(connection)
        last = self._last_run_id.continues(on_record)
        if on_record == 0:
            last = max(last, id_elsewhere)
        if last > on_record:
            self._log.error("run_outcomes_lost", why="runs.db is new or older", ids_after=last)
            writes.skip_ids(connection, last)
        return last

    def _count(self, more: int) -> None:
        self.retained_bytes += more
        if self.retained_bytes > self._max_bytes:
            self.crowded.set()
        else:
            self.crowded.clear()

    def _found_damage(self, damage: StoreDamaged) -> None:
        self._writer.found_damage(damage)

    def _failure_changed(self, failure: str | None) -> None:
        if failure is None:
            self._log.info("store_recovered")
        else:
            self._log.error("store_failed", error=failure)


def _uptime() -> float:
    """Return the seconds since this machine was booted, suspension included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)

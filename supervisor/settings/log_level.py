"""How much is logged, by us and by all who watch."""

from __future__ import annotations

import asyncio
import contextlib

from genvm_manager.base.errors import Unavailable
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.logging.setup import set_level
from genvm_manager.protocol.limits import MAX_WAIT


class LogLevel:
    """The level in force, and those who wait for another one."""

    def __init__(self, level: Level, log: EventLog) -> None:
        self._level = level
        self._log = log
        self._changed = asyncio.Event()
        self._is_closed = False

    @property
    def current(self) -> Level:
        return self._level

    def set(self, level: Level) -> None:
        """Put a level in force here, and tell those who wait."""
        set_level(level)
        self._level = level
        self._log.info("log_level_set", to=level)
        self._wake()

    async def watch(self, known: Level, wait: float) -> Level:
        """The level, once it is another one than `known` or `wait` seconds are over.

        Raises `Unavailable` when we stop.
        """
        changed = self._changed
        if self._level == known and wait > 0 and not self._is_closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), min(wait, MAX_WAIT))
        if self._is_closed:
            raise Unavailable("the supervisor is shutting down")
        return self._level

    def close(self) -> None:
        """Let nobody wait any more."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

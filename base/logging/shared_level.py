"""The log level that all processes of a service have in common: a file of the state folder.

The supervisor writes it; every process of ours looks at it again and again, from its own loop. So
no process needs a thread, a connection or a message to learn of another level.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import get_args

from genvm_manager.base.files.state_folder import log_level_file

from .event_log import event_log
from .lines import LEVELS, Level
from .setup import set_level

PERIOD = 0.5
"""Seconds between two looks at the file."""

_WIDTH = 8
"""Bytes of the file. One write over the same bytes is never seen in part, and needs no room on a
disk that is full."""

_BY_TEXT: dict[bytes, Level] = {level.encode().ljust(_WIDTH): level for level in get_args(Level)}

log = event_log(__name__)


class SharedLevel:
    """The level in force in this process, `current`, and the file with that of the service."""

    def __init__(self, state_folder: Path, level: Level) -> None:
        """`level` is in force in this process now."""
        self._path = log_level_file(state_folder)
        self._look_at = 0.0
        self.current = level

    def write(self, level: Level) -> None:
        """Have every process of the service take a level, this one not yet. Raises `OSError`."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, level.encode().ljust(_WIDTH), 0)
        finally:
            os.close(descriptor)

    def forget(self) -> None:
        """Remove the file: processes keep their level until the next supervisor writes one."""
        with suppress(OSError):
            self._path.unlink()

    def read(self) -> Level | None:
        """Return the level of the service; None when no supervisor has written one."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return _BY_TEXT.get(os.read(descriptor, _WIDTH))
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def refresh(self) -> None:
        """Take the level of the service, if it is another one. Looks once per `PERIOD`."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + PERIOD
        level = self.read()
        if level is not None and level != self.current:
            self.take(level)

    def take(self, level: Level) -> None:
        """Put a level in force in this process, and say so if either level lets it."""
        if LEVELS[level] < LEVELS[self.current]:
            set_level(level)
        log.info("log_level_set", to=level)
        set_level(level)
        self.current = level

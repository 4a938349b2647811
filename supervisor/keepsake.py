"""What was changed while we run, kept where our successor finds it should we be killed.

It is a file in memory that whoever started us holds, `serve` or systemd: what is in it, keys among
it, is on no disk and ends with the service.
"""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from protocol.ipc import ModuleKind, StartModule
from protocol.log_lines import Level

from .event_log import EventLog

_CHUNK = 1 << 20
_MAX_SIZE = 256 << 20


class Changes(Struct):
    """All that clients have changed and that holds until the service ends."""

    variables: dict[str, str] = {}
    permits: int | None = None
    log_level: Level | None = None
    modules: dict[ModuleKind, StartModule] = {}

    def __repr__(self) -> str:
        """Shows no value: it may land in a log."""
        return f"<Changes of {len(self.variables)} variables and {len(self.modules)} modules>"


class Keepsake:
    """The changes so far; to be saved after each further one."""

    def __init__(self, descriptor: int | None, log: EventLog) -> None:
        """Reads what a supervisor before us left; None: nobody keeps anything for us."""
        self._descriptor = descriptor
        self._log = log
        self.changes = self._read()

    def save(self) -> None:
        """Make the changes known to our successor. A kill in the middle of it loses them all."""
        if self._descriptor is None:
            return
        content = memoryview(msgspec.msgpack.encode(self.changes))
        try:
            os.ftruncate(self._descriptor, 0)
            for start in range(0, len(content), _CHUNK):
                os.pwrite(self._descriptor, content[start : start + _CHUNK], start)
        except OSError as error:
            self._log.error("changes_not_kept", error=error.strerror)

    def _read(self) -> Changes:
        if self._descriptor is None:
            return Changes()
        content = os.pread(self._descriptor, _MAX_SIZE, 0)
        if not content:
            return Changes()
        try:
            return msgspec.msgpack.decode(content, type=Changes)
        except msgspec.DecodeError as error:
            self._log.error("changes_lost", error=str(error))
            return Changes()

"""What clients have changed, for the next supervisor in case this one is killed.

It is a file in memory that `serve` or systemd holds too. So its content, keys among it, is on no
disk and ends with the service.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

import msgspec
from msgspec import Struct

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.validation import NOT_DECODED
from genvm_manager.protocol.ipc.commands import StartModule
from genvm_manager.protocol.ipc.modules import ModuleKind

_CHUNK = 1 << 20
_PLACE = struct.Struct("<QQ")


class _Place(NamedTuple):
    """Where in the file the current record is; both in bytes."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


class Changes(Struct):
    """All that clients have changed, which holds until the service ends."""

    variables: dict[str, str] = {}
    permits: int | None = None
    log_level: Level | None = None
    modules: dict[ModuleKind, StartModule] = {}
    run_ids: int = 0
    """Ids of runs up to this one may have been issued; used when the state folder was lost."""

    def __repr__(self) -> str:
        """Show no value, as it may get into a log."""
        return f"<Changes of {len(self.variables)} variables and {len(self.modules)} modules>"


class Handover:
    """The changes so far; call `save` after each further one.

    Layout: a 16-byte header (offset, length) and the record. A new record is written elsewhere
    first, then the header is switched, so a kill leaves the previous record valid.
    """

    def __init__(self, descriptor: int | None, log: EventLog) -> None:
        """Read what the previous supervisor left; without a `descriptor` nothing is kept."""
        self._descriptor = descriptor
        self._log = log
        self._place = _Place(_PLACE.size, 0)
        self.changes = self._read()

    def save(self) -> None:
        """Write the changes for the next supervisor."""
        if self._descriptor is None:
            return
        content = memoryview(msgspec.msgpack.encode(self.changes))
        fits_before = _PLACE.size + len(content) <= self._place.start
        place = _Place(_PLACE.size if fits_before else self._place.end, len(content))
        try:
            for at in range(0, len(content), _CHUNK):
                os.pwrite(self._descriptor, content[at : at + _CHUNK], place.start + at)
            os.pwrite(self._descriptor, _PLACE.pack(*place), 0)
            self._place = place
            os.ftruncate(self._descriptor, place.end)
        except OSError as error:
            self._log.error("changes_not_kept", error=error.strerror)

    def _read(self) -> Changes:
        if self._descriptor is None or not (size := os.fstat(self._descriptor).st_size):
            return Changes()
        try:
            place = _Place(*_PLACE.unpack(os.pread(self._descriptor, _PLACE.size, 0)))
            if place.end > size:
                raise msgspec.DecodeError("it ends beyond the file")
            content = os.pread(self._descriptor, place.length, place.start)
            changes = msgspec.msgpack.decode(content, type=Changes)
        except (struct.error, *NOT_DECODED) as error:
            self._log.error("changes_lost", error=str(error))
            return Changes()
        self._place = place
        return changes

"""The status at one moment, as server-sent events."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import msgspec

from genvm_manager.protocol.http_api import (
    ExecutionReply,
    StatusEvent,
    WrittenStatus,
    written_executions,
)
from genvm_manager.protocol.ipc.status import Execution, Status

_Entry = Execution | msgspec.Raw
"""An execution, or the JSON of one that has finished; both can be compared."""


class StatusView:
    """The status at one moment; its events are encoded once for all subscribers."""

    def __init__(self, status: Status, before: StatusView | None = None) -> None:
        """Take the status and the view before it, if there is one."""
        self.status = status
        self.at = datetime.now(UTC)
        self._entries: dict[str, _Entry] = {
            **{str(entry.id): entry for entry in status.under_way},
            **written_executions(status.finished),
        }
        self.number: int = before.number + 1 if before else 0
        """The position in the sequence of views."""

        self.change = self._change(before) if before else b""
        """The event for subscribers that have `before`; empty when nothing differs."""

    @cached_property
    def whole(self) -> bytes:
        """Return the event for subscribers that have nothing, or missed a view."""
        return self._event("status", self._entries, [])

    def _change(self, before: StatusView) -> bytes:
        old = before._entries
        fresh = {key: entry for key, entry in self._entries.items() if old.get(key) != entry}
        gone = [int(key) for key in old.keys() - self._entries.keys()]
        if not fresh and not gone and _frame(self.status) == _frame(before.status):
            return b""
        return self._event("change", fresh, gone)

    def _event(
        self, name: Literal["status", "change"], entries: dict[str, _Entry], gone: list[int]
    ) -> bytes:
        executions = {
            key: entry if isinstance(entry, msgspec.Raw) else ExecutionReply.of(entry)
            for key, entry in entries.items()
        }
        document = StatusEvent(self.at, WrittenStatus.of(self.status, executions), gone)
        return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(document))


def _frame(status: Status) -> Any:
    """Return the status without its executions, to compare it."""
    return msgspec.structs.replace(status, revision=0, under_way=[], finished=b"")

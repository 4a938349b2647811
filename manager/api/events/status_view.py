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
"""An execution under way, or one that is over and in JSON already: both can be compared."""


class StatusView:
    """Written once, and shown to everybody who follows."""

    def __init__(self, status: Status, before: StatusView | None = None) -> None:
        """`before`: the view that this one comes after."""
        self.status = status
        self.at = datetime.now(UTC)
        self._entries: dict[str, _Entry] = {
            **{str(entry.id): entry for entry in status.under_way},
            **written_executions(status.finished),
        }
        self.number: int = before.number + 1 if before else 0
        """The place in the row of views."""

        self.change = self._change(before) if before else b""
        """The event for those who have seen `before`; empty when it looks the same."""

    @cached_property
    def whole(self) -> bytes:
        """The event for those who have seen nothing, or too little."""
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
    """All but the executions."""
    return msgspec.structs.replace(status, revision=0, under_way=[], finished=b"")

"""Reads an output of a run from its beginning to its end, also while it grows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol.ipc.runs import Artifact, RunState

from .run_end import across_restarts


@dataclass(frozen=True, slots=True)
class Piece:
    """The next piece of an output.

    `missed`: bytes before it that were dropped before they could be read. `has_more`: the next
    piece is already available.
    """

    content: bytes
    missed: int
    has_more: bool
    state: RunState

    @property
    def is_last(self) -> bool:
        """Whether it is the last piece of the output."""
        return self.state is RunState.FINISHED and not self.has_more


class TailReader:
    """Keeps the position in an output of which only the last bytes are kept."""

    def __init__(self, client: HttpClient, run_id: int, output: Artifact) -> None:
        self._read = partial(client.read_artifact, run_id, output)
        self._place = 0
        self._dropped = 0

    def next(self) -> Piece:
        """Return what was written since the last piece. Raises what the client raises."""
        offset = max(0, self._place - self._dropped)
        part = across_restarts(lambda: self._read(offset))
        self._dropped = part.dropped_bytes
        start = part.dropped_bytes + offset
        if part.dropped_bytes <= self._place < start:
            # More was dropped since the last piece, but not what comes next.
            return self.next()
        missed = max(0, start - self._place)
        self._place = max(self._place, start + len(part.data_base64))
        has_more = offset + len(part.data_base64) < part.total_len
        return Piece(part.data_base64, missed, has_more, part.state)

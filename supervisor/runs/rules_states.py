"""The states of a run and the moves between them (docs/spec/03-run-request.md#life)."""

from __future__ import annotations

from enum import Enum, StrEnum

from genvm_manager.protocol.ipc.runs import RunState


class State(StrEnum):
    """Where a run is. Nothing else says so; only `RunTable.move` changes it."""

    ACCEPTED = "accepted"
    """The run has its id. The admission queue is about to take it."""

    QUEUED = "queued"
    """The run waits for its permits."""

    GRANTED = "granted"
    """The run holds its permits. Its executor is not started yet."""

    STARTING = "starting"
    """The executor is being started."""

    RUNNING = "running"
    """The executor runs."""

    ENDING = "ending"
    """The executor and all it started are gone. The run's output and its end are being recorded,
    and it keeps its permits meanwhile: its output is in memory."""

    FINISHED = "finished"
    """The run's end is on record."""

    WITHDRAWN = "withdrawn"
    """This supervisor is done with the run and has recorded no end: its start was undone, its token
    belongs to another run, or its end could not be recorded and the next supervisor will do it."""


MOVES: dict[State, frozenset[State]] = {
    State.ACCEPTED: frozenset({State.QUEUED, State.WITHDRAWN}),
    State.QUEUED: frozenset({State.GRANTED, State.FINISHED, State.WITHDRAWN}),
    State.GRANTED: frozenset({State.STARTING, State.FINISHED, State.WITHDRAWN}),
    State.STARTING: frozenset({State.RUNNING, State.WITHDRAWN}),
    State.RUNNING: frozenset({State.ENDING, State.WITHDRAWN}),
    State.ENDING: frozenset({State.FINISHED, State.WITHDRAWN}),
    State.FINISHED: frozenset(),
    State.WITHDRAWN: frozenset(),
}
"""For each state, the states that a run may go to from there."""

NOT_LAUNCHED = frozenset({State.ACCEPTED, State.QUEUED, State.GRANTED})
OVER = frozenset({State.FINISHED, State.WITHDRAWN})


class LeaseStatus(Enum):
    """What a run has of the permits."""

    NONE = "none"
    WAITS = "waits"
    HOLDS = "holds"


LEASES: dict[State, LeaseStatus] = {
    State.ACCEPTED: LeaseStatus.NONE,
    State.QUEUED: LeaseStatus.WAITS,
    State.GRANTED: LeaseStatus.HOLDS,
    State.STARTING: LeaseStatus.HOLDS,
    State.RUNNING: LeaseStatus.HOLDS,
    State.ENDING: LeaseStatus.HOLDS,
    State.FINISHED: LeaseStatus.NONE,
    State.WITHDRAWN: LeaseStatus.NONE,
}

SHOWN: dict[State, RunState] = {
    State.ACCEPTED: RunState.QUEUED,
    State.QUEUED: RunState.QUEUED,
    State.GRANTED: RunState.QUEUED,
    State.STARTING: RunState.STARTING,
    State.RUNNING: RunState.RUNNING,
    State.ENDING: RunState.RUNNING,
    State.FINISHED: RunState.FINISHED,
    State.WITHDRAWN: RunState.STARTING,
}
"""What clients are told: they know fewer states."""

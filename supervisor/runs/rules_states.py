"""The states of a run and the moves between them (docs/spec/03-run-request.md#life)."""

from __future__ import annotations

from genvm_manager.protocol.ipc.runs import RunState

ALLOWED: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.STARTING, RunState.FINISHED}),
    RunState.STARTING: frozenset({RunState.RUNNING}),
    RunState.RUNNING: frozenset({RunState.FINISHED}),
    RunState.FINISHED: frozenset(),
}
"""A start that fails is withdrawn: such a run ends in no state, it was never accepted."""


class IllegalTransition(Exception):
    """A move that the table does not know: a mistake in this program."""

    def __init__(self, run_id: int, state: RunState, to: RunState) -> None:
        super().__init__(f"run {run_id} cannot go from {state} to {to}")


def advanced(run_id: int, state: RunState, to: RunState) -> RunState:
    """`to`, when a run may go there from `state`; else `IllegalTransition`."""
    if to not in ALLOWED[state]:
        raise IllegalTransition(run_id, state, to)
    return to

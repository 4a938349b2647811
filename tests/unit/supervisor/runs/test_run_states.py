"""The table of a run's states: every move, what it does to permits, and who may make it."""

from __future__ import annotations

import ast
import asyncio
import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.settings.config import PermitCosts
from genvm_manager.protocol.ipc.runs import RunState
from genvm_manager.supervisor.runs.admission_queue import AdmissionQueue
from genvm_manager.supervisor.runs.rules_permits import PermitPool
from genvm_manager.supervisor.runs.rules_rate_limit import RateLimiter
from genvm_manager.supervisor.runs.rules_states import (
    LEASES,
    MOVES,
    NOT_LAUNCHED,
    OVER,
    SHOWN,
    LeaseStatus,
    State,
)
from genvm_manager.supervisor.runs.run import Run
from genvm_manager.supervisor.runs.run_table import RunTable
from genvm_manager.supervisor.settings.rules_manifest import Executor
from genvm_manager.supervisor.telemetry.version import StatusVersion
from tests.conftest import PROJECT
from tests.support.supervisor import start_command

LEGAL = {
    "accepted": "queued withdrawn",
    "queued": "granted finished withdrawn",
    "granted": "starting finished withdrawn",
    "starting": "running withdrawn",
    "running": "ending withdrawn",
    "ending": "finished withdrawn",
    "finished": "",
    "withdrawn": "",
}
PATH = (State.QUEUED, State.GRANTED, State.STARTING, State.RUNNING, State.ENDING, State.FINISHED)
"""The states of a run that goes well, after its acceptance."""


class Table:
    """A real table with a pool of one permit, and the lines of its log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, object, object]] = []
        logger = logging.Logger("runs")
        logger.addHandler(_Lines(self.lines))
        costs = PermitCosts(total=1, sync=1, nondet=1)
        queue = AdmissionQueue(PermitPool(1, 10), costs, RateLimiter(100, 0.0))
        self.runs = RunTable(queue, 0, StatusVersion(), EventLog(logger))

    def run_in(self, state: State) -> Run:
        """Return a run that went there by legal moves, with no other one beside it."""
        executor = Executor("v0.0.0", (0, 0, 0), 0.0, ("/bin/true",))
        run = Run(self.runs.next_id(), start_command("quick"), executor, cost=1)
        if state is State.ACCEPTED:
            return run
        if state is State.QUEUED:
            self.runs.add(self.run_in(State.ACCEPTED))
        self.runs.add(run)
        if state is State.WITHDRAWN:
            self.runs.move(run, state)
        while run.state is not state:
            self.runs.move(run, PATH[PATH.index(run.state) + 1])
        return run

    @property
    def in_use(self) -> int:
        return self.runs.queue.counts().in_use


class _Lines(logging.Handler):
    def __init__(self, lines: list[tuple[str, object, object]]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        fields = record.__dict__["fields"]
        self._lines.append((record.getMessage(), fields["state"], fields["to"]))


def test_the_table_is_the_documented_one() -> None:
    assert {
        State(state): {State(to) for to in legal.split()} for state, legal in LEGAL.items()
    } == (MOVES)
    assert set(LEASES) == set(SHOWN) == set(State)
    assert {state for state, moves in MOVES.items() if not moves} == OVER
    assert {state for state in State if State.GRANTED in reach(state)} == NOT_LAUNCHED


def reach(state: State) -> set[State]:
    """Return the states that can be reached from one, itself included."""
    found, todo = {state}, [state]
    while todo:
        new = MOVES[todo.pop()] - found
        found |= new
        todo += new
    return found


@pytest.mark.parametrize(("state", "to"), list(product(State, State)))
def test_every_move_is_made_or_refused_and_logged_with_both_states(state: State, to: State) -> None:
    async def move() -> None:
        table = Table()
        run = table.run_in(state)
        if to.value in LEGAL[state.value].split():
            table.runs.move(run, to)
            assert run.state is to
            assert table.lines == []
        else:
            with pytest.raises(RuntimeError, match=f"run {run.id} cannot go from {state} to {to}"):
                table.runs.move(run, to)
            assert run.state is state
            assert table.lines == [("illegal_run_move", state, to)]

    asyncio.run(move())


@pytest.mark.parametrize("state", State)
def test_permits_are_held_in_the_states_that_hold_them(state: State) -> None:
    async def look() -> None:
        table = Table()
        table.run_in(state)
        counts = table.runs.queue.counts()
        if state is State.QUEUED:
            assert (counts.in_use, counts.queued) == (1, 1)
        else:
            assert (counts.in_use, counts.queued) == (LEASES[state] is LeaseStatus.HOLDS, 0)

    asyncio.run(look())


@pytest.mark.parametrize("state", [state for state in State if LEASES[state] is LeaseStatus.HOLDS])
def test_permits_that_come_back_go_to_the_next_run(state: State) -> None:
    async def leave() -> None:
        table = Table()
        run = table.run_in(state)
        waiting = Run(table.runs.next_id(), run.request, run.executor, cost=1)
        table.runs.add(waiting)
        assert (waiting.state, waiting.ready.is_set()) == (State.QUEUED, False)
        table.runs.remove(run)
        assert run.state is State.WITHDRAWN
        assert (waiting.state, waiting.ready.is_set()) == (State.GRANTED, True)
        assert list(table.runs) == [waiting]
        assert table.in_use == 1

    asyncio.run(leave())


def test_clients_are_told_the_four_states_of_the_specification_in_their_order() -> None:
    told = [SHOWN[state] for state in (State.ACCEPTED, *PATH)]
    assert list(dict.fromkeys(told)) == list(RunState)


def assigned_attributes(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each assignment to an attribute: what it belongs to, and its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets = [node.target]
        for target in targets:
            for each in ast.walk(target):
                if isinstance(each, ast.Attribute):
                    yield ast.unparse(each.value), each.attr


def test_nothing_but_the_table_sets_the_state_of_a_run() -> None:
    found = {
        (path.relative_to(PROJECT / "supervisor").as_posix(), owner)
        for path in (PROJECT / "supervisor").rglob("*.py")
        for owner, name in assigned_attributes(path)
        if name == "state"
    }
    assert found - {("modules/module.py", "self")} == {
        ("runs/run.py", "self"),
        ("runs/run_table.py", "run"),
    }
    assert "setattr" not in (PROJECT / "supervisor/runs/run_table.py").read_text()


def test_nothing_but_the_table_grants_and_releases_permits() -> None:
    callers = {
        path.relative_to(PROJECT / "supervisor").as_posix()
        for path in (PROJECT / "supervisor").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("queue.grant", "queue.release", "queue.add"))
    }
    assert callers == {"runs/run_table.py"}

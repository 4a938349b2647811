"""Permits under load: never over-committed, never leaked, first come first served, nobody starves.

The pool alone as a state machine beside a plain model, and the table of runs with its queue.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from genvm_manager.base.errors import BadRequest, Refusal, Unavailable
from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.base.settings.config import PermitCosts
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.supervisor.runs.admission_queue import MAX_QUEUED_BYTES, AdmissionQueue
from genvm_manager.supervisor.runs.rules_invariants import CheckedRun, violations
from genvm_manager.supervisor.runs.rules_permits import PermitPool, QueueFull
from genvm_manager.supervisor.runs.rules_rate_limit import RateLimiter
from genvm_manager.supervisor.runs.rules_states import State
from genvm_manager.supervisor.runs.run import Run
from genvm_manager.supervisor.runs.run_table import RunTable
from genvm_manager.supervisor.settings.rules_manifest import Executor
from genvm_manager.supervisor.telemetry.version import StatusVersion
from tests.support.supervisor import start_command

CHEAP, DEAR = 1, 3
MAX_QUEUED = 6


class PermitMachine(RuleBasedStateMachine):
    """Cheap and dear holders come, are granted at once when they can be, and leave or give up."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 4
        self.pool = PermitPool(self.total, MAX_QUEUED)
        self.waiting: dict[int, int] = {}
        self.holding: dict[int, int] = {}
        self.gone: list[int] = []
        self.last_id = 0
        self.last_granted = 0
        self.in_use_before = 0

    def grant(self) -> None:
        """What the queue does after each change."""
        free = self.total - sum(self.holding.values())
        for holder in self.pool.grant():
            assert holder == next(iter(self.waiting)), "out of turn"
            assert holder > self.last_granted, "overtaken by one who came later"
            self.last_granted = holder
            self.holding[holder] = self.waiting.pop(holder)
            free -= self.holding[holder]
            assert free >= 0, "over-committed"

    @rule(cost=st.sampled_from([CHEAP, CHEAP, 2, DEAR]))
    def come(self, cost: int) -> None:
        self.last_id += 1
        must_wait = bool(self.waiting) or cost > self.total - sum(self.holding.values())
        if must_wait and len(self.waiting) == MAX_QUEUED:
            with pytest.raises(QueueFull):
                self.pool.enqueue(self.last_id, cost)
        else:
            self.pool.enqueue(self.last_id, cost)
            self.waiting[self.last_id] = cost
            self.grant()
            assert (self.last_id in self.waiting) == must_wait

    @precondition(lambda self: self.holding)
    @rule(which=st.integers(0, 20))
    def finish(self, which: int) -> None:
        self.leave(list(self.holding)[which % len(self.holding)])

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, MAX_QUEUED))
    def give_up(self, which: int) -> None:
        self.leave(list(self.waiting)[which % len(self.waiting)])

    def leave(self, holder: int) -> None:
        assert self.pool.release(holder)
        self.waiting.pop(holder, None)
        self.holding.pop(holder, None)
        self.gone.append(holder)
        self.grant()

    @precondition(lambda self: self.gone)
    @rule(which=st.integers(0, 1_000))
    def release_again(self, which: int) -> None:
        before = self.pool.snapshot()
        assert not self.pool.release(self.gone[which % len(self.gone)])
        assert not self.pool.release(self.last_id + 1), "never came"
        assert self.pool.snapshot() == before
        assert self.pool.grant() == []

    @rule(total=st.integers(DEAR, 12))
    def change_total(self, total: int) -> None:
        self.pool.resize(total)
        self.total = total
        self.grant()

    @precondition(lambda self: self.waiting)
    @rule(order=st.randoms(use_true_random=False))
    def nobody_starves(self, order: random.Random) -> None:
        """All that wait are served once the others leave, in whatever order those do."""
        expected = list(self.waiting)
        served: list[int] = []
        while self.waiting:
            assert self.holding, "who waits, waits for nothing"
            before = set(self.waiting)
            self.leave(order.choice(list(self.holding)))
            served += sorted(before - set(self.waiting))
        assert served == expected

    @invariant()
    def nothing_is_leaked_or_leased_twice(self) -> None:
        in_use = sum(self.holding.values())
        assert self.pool.in_use == in_use
        assert self.pool.free == self.total - in_use
        assert self.pool.queued == len(self.waiting) <= MAX_QUEUED
        if in_use > self.total:
            assert in_use <= self.in_use_before, "more was leased while too much was in use"
        assert self.pool.snapshot().ceiling == max(self.total, in_use)
        self.in_use_before = in_use

    @invariant()
    def the_invariants_hold(self) -> None:
        assert violations(list(self.runs()), self.pool.snapshot(), self.last_id, []) == []

    def runs(self) -> Iterator[CheckedRun]:
        for holder, cost in sorted({**self.waiting, **self.holding}.items()):
            state = State.STARTING if holder in self.holding else State.QUEUED
            yield CheckedRun(holder, state, cost, pid=None, has_task=True)

    def teardown(self) -> None:
        while self.holding or self.waiting:
            self.leave(next(iter(self.holding)))
        assert (self.pool.in_use, self.pool.queued, self.pool.free) == (0, 0, self.total)


TestPermitMachine = PermitMachine.TestCase
TestPermitMachine.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


COSTS = PermitCosts(total=8, sync=1, nondet=3)
RUNS = 400


def a_table(pool: PermitPool, rate: RateLimiter) -> RunTable:
    log = EventLog(logging.Logger("runs"))
    return RunTable(AdmissionQueue(pool, COSTS, rate), 0, StatusVersion(), log)


def a_run(runs: RunTable, needs_modules: bool = False, data: bytes = b"") -> Run:
    modules = list(ModuleKind) if needs_modules else []
    request = start_command("quick", modules=modules, execution_data=data)
    executor = Executor("v0.0.0", (0, 0, 0), 0.0, ("/bin/true",))
    return Run(runs.next_id(), request, executor, runs.queue.cost(needs_modules))


class ManyRuns:
    """Runs without processes in a real table, each a task; checked after every step."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pool = PermitPool(8, RUNS)
        self.runs = a_table(self.pool, RateLimiter(RUNS, 0.0))
        self.granted: list[tuple[float, int]] = []
        self.cancelled: set[int] = set()

    async def execute_all(self) -> None:
        tasks = []
        for _ in range(RUNS):
            run = a_run(self.runs, needs_modules=self.random.random() < 0.3)
            self.runs.add(run)
            tasks.append(asyncio.create_task(self.execute(run)))
            self.check()
            await self.disturb()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)

    async def execute(self, run: Run) -> None:
        await run.ready.wait()
        if run.id not in self.cancelled:
            self.granted.append((run.granted_at, run.id))
            for state in (State.STARTING, State.RUNNING, State.ENDING):
                self.runs.move(run, state)
                for _ in range(self.random.randrange(3)):
                    await asyncio.sleep(0)
        self.runs.move(run, State.FINISHED)
        self.check()
        self.runs.remove(run)
        self.check()

    async def disturb(self) -> None:
        """Between two runs: cancel one in the queue, or change the budget, or let time pass."""
        chance = self.random.random()
        waiting = [run for run in self.runs if run.state is State.QUEUED]
        if chance < 0.2 and waiting:
            run = self.random.choice(waiting)
            self.cancelled.add(run.id)
            run.ready.set()
        elif chance < 0.4:
            self.runs.resize(self.random.randint(3, 12))
        elif chance < 0.7:
            await asyncio.sleep(0)
        self.check()

    def check(self) -> None:
        runs = [self.checked(run) for run in self.runs]
        assert violations(runs, self.pool.snapshot(), RUNS, []) == []

    def checked(self, run: Run) -> CheckedRun:
        pid = run.id if run.state is State.RUNNING else None
        return CheckedRun(run.id, run.state, run.cost, pid, has_task=True)


@pytest.mark.parametrize("seed", range(5))
def test_many_runs_at_once_are_served_in_turn(seed: int) -> None:
    many = ManyRuns(seed)
    asyncio.run(many.execute_all())
    counts = many.runs.queue.counts()
    assert (counts.in_use, counts.queued, counts.free) == (0, 0, counts.total)
    assert many.runs.queue.waiting_bytes == 0
    served = [run_id for _, run_id in sorted(many.granted)]
    assert served == sorted(set(range(1, RUNS + 1)) - many.cancelled)
    assert len(many.cancelled) > RUNS / 50


def test_the_queue_refuses_what_would_make_someone_wait_for_ever() -> None:
    async def ask() -> None:
        runs = a_table(PermitPool(8, max_queued=1), RateLimiter(10, 0.0))
        with pytest.raises(BadRequest, match="permits: expected 3 "):
            runs.resize(2)
        runs.resize(3)
        runs.add(a_run(runs, needs_modules=True))
        runs.add(a_run(runs))
        with pytest.raises(Unavailable, match="1 runs wait for permits already"):
            runs.add(a_run(runs))
        assert (runs.queue.counts().in_use, runs.queue.counts().queued) == (3, 1)
        assert [run.id for run in runs] == [1, 2]

    asyncio.run(ask())


def test_the_queue_refuses_what_would_fill_the_memory() -> None:
    async def ask() -> None:
        runs = a_table(PermitPool(3, max_queued=10), RateLimiter(10, 0.0))
        # All of it is one piece of zeroes that nothing touches.
        large = bytes(MAX_QUEUED_BYTES // 2 + 1)
        for _ in range(4):
            runs.add(a_run(runs, data=large))
        with pytest.raises(Unavailable, match="hold too much data") as refused:
            runs.add(a_run(runs, data=large))
        assert refused.value.reason is Refusal.QUEUE_BYTES
        runs.add(a_run(runs))
        assert (runs.queue.counts().in_use, runs.queue.counts().queued) == (3, 2)

    asyncio.run(ask())


def test_the_queue_refuses_runs_that_arrive_too_quickly() -> None:
    async def ask() -> None:
        runs = a_table(PermitPool(8, max_queued=10), RateLimiter(1, time.monotonic() + 60))
        runs.add(a_run(runs))
        with pytest.raises(Unavailable, match="runs come faster than 1 a second") as refused:
            runs.add(a_run(runs))
        assert (refused.value.reason, refused.value.retry_after) == (Refusal.RATE, 1)
        assert runs.queue.counts().in_use == 1

    asyncio.run(ask())

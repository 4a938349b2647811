"""Permits under a storm: never over-committed, never leaked, first come first served, nobody
starves. The pool alone as a state machine beside a plain model, and the desk with real runs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from genvm_manager.base.errors import BadRequest, Refusal, Unavailable
from genvm_manager.base.settings.config import PermitCosts
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.ipc.runs import RunState
from genvm_manager.supervisor.runs.admission_queue import MAX_QUEUED_BYTES, AdmissionQueue
from genvm_manager.supervisor.runs.rules_invariants import AuditedRun, LeaseStatus, audit
from genvm_manager.supervisor.runs.rules_permits import PermitPool, QueueFull
from genvm_manager.supervisor.runs.rules_rate_limit import RateLimiter
from genvm_manager.supervisor.runs.run import Run, settle
from genvm_manager.supervisor.settings.rules_manifest import Executor
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
        """What the desk does after each change."""
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
        books = self.pool.snapshot()
        assert not self.pool.release(self.gone[which % len(self.gone)])
        assert not self.pool.release(self.last_id + 1), "never came"
        assert self.pool.snapshot() == books
        assert self.pool.grant() == []

    @rule(total=st.integers(DEAR, 12))
    def change_total(self, total: int) -> None:
        self.pool.resize(total)
        self.total = total
        self.grant()

    @precondition(lambda self: self.waiting)
    @rule(order=st.randoms(use_true_random=False))
    def nobody_starves(self, order: random.Random) -> None:
        """Whoever waits is served once the others leave, in whatever order those do."""
        expected = list(self.waiting)
        served: list[int] = []
        while self.waiting:
            assert self.holding, "who waits, waits for nothing"
            before = set(self.waiting)
            self.leave(order.choice(list(self.holding)))
            served += sorted(before - set(self.waiting))
        assert served == expected

    @invariant()
    def nothing_is_leaked_or_lent_twice(self) -> None:
        in_use = sum(self.holding.values())
        assert self.pool.in_use == in_use
        assert self.pool.free == self.total - in_use
        assert self.pool.queued == len(self.waiting) <= MAX_QUEUED
        if in_use > self.total:
            assert in_use <= self.in_use_before, "more was lent while too much was out"
        assert self.pool.snapshot().ceiling == max(self.total, in_use)
        self.in_use_before = in_use

    @invariant()
    def the_audit_agrees(self) -> None:
        assert audit(list(self.runs()), self.pool.snapshot(), self.last_id, []) == []

    def runs(self) -> Iterator[AuditedRun]:
        for holder, cost in sorted({**self.waiting, **self.holding}.items()):
            holds = holder in self.holding
            state = RunState.STARTING if holds else RunState.QUEUED
            standing = LeaseStatus.HOLDS if holds else LeaseStatus.WAITS
            yield AuditedRun(holder, state, standing, cost, pid=None, has_life=True)

    def teardown(self) -> None:
        while self.holding or self.waiting:
            self.leave(next(iter(self.holding)))
        assert (self.pool.in_use, self.pool.queued, self.pool.free) == (0, 0, self.total)


TestPermitMachine = PermitMachine.TestCase
TestPermitMachine.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


COSTS = PermitCosts(total=8, sync=1, nondet=3)
RUNS = 400


def a_run(run_id: int, desk: AdmissionQueue, needs_modules: bool, data: bytes = b"") -> Run:
    modules = list(ModuleKind) if needs_modules else []
    request = start_command("quick", modules=modules, execution_data=data)
    executor = Executor("v0.0.0", (0, 0, 0), 0.0, ("/bin/true",))
    return Run(run_id, request, executor, desk.cost(needs_modules))


class DeskStorm:
    """Runs without processes at a real desk, each a task; the audit looks after every step."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pool = PermitPool(8, RUNS)
        self.desk = AdmissionQueue(self.pool, COSTS, RateLimiter(RUNS, 0.0))
        self.runs: dict[int, Run] = {}
        self.granted: list[int] = []
        self.gave_up: set[int] = set()
        self.leaving: set[int] = set()

    async def rage(self) -> None:
        lives = []
        for run_id in range(1, RUNS + 1):
            run = a_run(run_id, self.desk, needs_modules=self.random.random() < 0.3)
            self.runs[run_id] = run
            self.desk.queue(run)
            run.granted.add_done_callback(partial(self.note, run_id))
            lives.append(asyncio.create_task(self.live(run)))
            self.look()
            await self.disturb()
        await asyncio.wait_for(asyncio.gather(*lives), 60)

    def note(self, run_id: int, _: object) -> None:
        """In the order in which runs are told that they have their permits."""
        if run_id not in self.gave_up:
            self.granted.append(run_id)

    async def live(self, run: Run) -> None:
        await run.granted
        if run.id not in self.gave_up:
            for _ in range(self.random.randrange(8)):
                await asyncio.sleep(0)
        self.leaving.add(run.id)
        assert self.desk.give_back(run)
        self.look()
        assert not self.desk.give_back(run), "given back twice"
        del self.runs[run.id]
        self.look()

    async def disturb(self) -> None:
        """Between two runs: cancel one in the queue, or change the budget, or let time pass."""
        chance = self.random.random()
        waiting = [run for run in self.runs.values() if not run.granted.done()]
        if chance < 0.2 and waiting:
            run = self.random.choice(waiting)
            self.gave_up.add(run.id)
            self.leaving.add(run.id)
            settle(run.granted)
        elif chance < 0.4:
            self.desk.resize(self.random.randint(3, 12))
        elif chance < 0.7:
            await asyncio.sleep(0)
        self.look()

    def look(self) -> None:
        runs = [self.audited(run) for run in self.runs.values()]
        assert audit(runs, self.pool.snapshot(), RUNS, []) == []

    def audited(self, run: Run) -> AuditedRun:
        standing = LeaseStatus.HOLDS if run.granted.done() else LeaseStatus.WAITS
        if run.id in self.leaving:
            standing = LeaseStatus.LEAVES
        return AuditedRun(run.id, run.state, standing, run.cost, pid=None, has_life=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_storm_at_the_desk_serves_all_in_turn(seed: int) -> None:
    storm = DeskStorm(seed)
    asyncio.run(storm.rage())
    counts = storm.desk.counts()
    assert (counts.in_use, counts.queued, counts.free) == (0, 0, counts.total)
    assert storm.desk.waiting_bytes == 0
    assert storm.granted == sorted(set(range(1, RUNS + 1)) - storm.gave_up)
    assert len(storm.gave_up) > RUNS / 50


def test_the_desk_refuses_what_would_make_someone_wait_for_ever() -> None:
    async def ask() -> None:
        desk = AdmissionQueue(PermitPool(8, max_queued=1), COSTS, RateLimiter(10, 0.0))
        with pytest.raises(BadRequest, match="permits: expected 3 "):
            desk.resize(2)
        desk.resize(3)
        desk.queue(a_run(1, desk, needs_modules=True))
        desk.queue(a_run(2, desk, needs_modules=False))
        with pytest.raises(Unavailable, match="1 runs wait for permits already"):
            desk.queue(a_run(3, desk, needs_modules=False))
        assert (desk.counts().in_use, desk.counts().queued) == (3, 1)

    asyncio.run(ask())


def test_the_desk_refuses_what_would_fill_the_memory() -> None:
    async def ask() -> None:
        desk = AdmissionQueue(PermitPool(3, max_queued=10), COSTS, RateLimiter(10, 0.0))
        # All of it is one piece of zeroes that nobody touches.
        large = bytes(MAX_QUEUED_BYTES // 2 + 1)
        for run_id in range(1, 5):
            desk.queue(a_run(run_id, desk, needs_modules=False, data=large))
        with pytest.raises(Unavailable, match="hold too much data") as refused:
            desk.queue(a_run(5, desk, needs_modules=False, data=large))
        assert refused.value.reason is Refusal.QUEUE_BYTES
        desk.queue(a_run(6, desk, needs_modules=False))
        assert (desk.counts().in_use, desk.counts().queued) == (3, 2)

    asyncio.run(ask())


def test_the_desk_refuses_who_comes_too_quickly() -> None:
    async def ask() -> None:
        desk = AdmissionQueue(
            PermitPool(8, max_queued=10), COSTS, RateLimiter(1, time.monotonic() + 60)
        )
        desk.queue(a_run(1, desk, needs_modules=False))
        with pytest.raises(Unavailable, match="runs come faster than 1 a second") as refused:
            desk.queue(a_run(2, desk, needs_modules=False))
        assert (refused.value.reason, refused.value.retry_after) == (Refusal.PACE, 1)
        assert desk.counts().in_use == 1

    asyncio.run(ask())

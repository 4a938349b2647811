"""Permits: never over-committed, never leaked, first come first served."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from supervisor.core.permits import PermitPool, QueueFull


def test_the_head_of_the_queue_is_never_overtaken() -> None:
    pool = PermitPool(total=3, max_queued=10)
    for holder, cost in enumerate((2, 2, 1)):
        pool.enqueue(holder, cost)
    assert pool.grant() == [0]
    assert (pool.free, pool.queued) == (1, 2)
    assert pool.grant() == []
    assert pool.release(0)
    assert pool.grant() == [1, 2]


def test_release_is_idempotent_and_says_so() -> None:
    pool = PermitPool(total=1, max_queued=10)
    pool.enqueue(1, 1)
    pool.enqueue(2, 1)
    pool.grant()
    assert pool.release(2), "from the queue"
    assert pool.release(1), "from its lease"
    assert not pool.release(1)
    assert not pool.release(3)
    assert (pool.free, pool.in_use, pool.queued) == (1, 0, 0)


def test_lowering_never_over_commits() -> None:
    pool = PermitPool(total=4, max_queued=10)
    for holder in range(5):
        pool.enqueue(holder, 1)
    assert pool.grant() == [0, 1, 2, 3]
    pool.resize(2)
    assert pool.free == -2
    pool.release(0)
    pool.release(1)
    assert pool.grant() == []
    pool.release(2)
    assert pool.grant() == [4]


def test_a_full_queue_takes_only_who_need_not_wait() -> None:
    pool = PermitPool(total=1, max_queued=0)
    pool.enqueue(1, 1)
    pool.grant()
    with pytest.raises(QueueFull):
        pool.enqueue(2, 1)
    with pytest.raises(ValueError, match="1 is queued or holds"):
        pool.enqueue(1, 1)


class PermitMachine(RuleBasedStateMachine):
    """Runs come, leave and are granted in any order, beside a model of plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = PermitPool(total=4, max_queued=6)
        self.queue: list[tuple[int, int]] = []
        self.leases: dict[int, int] = {}
        self.total = 4
        self.next_holder = 0

    @rule(cost=st.integers(1, 4))
    def enqueue(self, cost: int) -> None:
        holder = self.next_holder
        self.next_holder += 1
        must_wait = bool(self.queue) or cost > self.total - sum(self.leases.values())
        if must_wait and len(self.queue) >= 6:
            with pytest.raises(QueueFull):
                self.pool.enqueue(holder, cost)
        else:
            self.pool.enqueue(holder, cost)
            self.queue.append((holder, cost))

    @rule()
    def grant(self) -> None:
        granted = self.pool.grant()
        expected = [holder for holder, _ in self.queue[: len(granted)]]
        assert granted == expected, "out of turn"
        for holder, cost in self.queue[: len(granted)]:
            self.leases[holder] = cost
        del self.queue[: len(granted)]
        if granted:
            assert sum(self.leases.values()) <= self.total, "over-committed"
        if self.queue:
            assert self.queue[0][1] > self.pool.free, "the head fits and was left waiting"

    @rule(holder=st.integers(0, 40))
    def release(self, holder: int) -> None:
        was_queued = any(each == holder for each, _ in self.queue)
        was_leased = self.leases.pop(holder, None) is not None
        self.queue = [entry for entry in self.queue if entry[0] != holder]
        assert self.pool.release(holder) == (was_queued or was_leased)

    @rule(total=st.integers(4, 8))
    def raise_total(self, total: int) -> None:
        self.pool.resize(total)
        self.total = total

    @rule(total=st.integers(1, 4))
    def lower_total(self, total: int) -> None:
        self.pool.resize(total)
        self.total = total

    @precondition(lambda self: self.leases or self.queue)
    @rule()
    def everything_ends(self) -> None:
        self.pool.resize(4)
        self.total = 4
        for _ in range(len(self.leases) + len(self.queue) + 1):
            for holder in list(self.leases):
                self.release(holder)
            self.grant()
        assert not self.leases and not self.queue, "somebody starves"

    @invariant()
    def books_balance(self) -> None:
        assert self.pool.in_use == sum(self.leases.values())
        assert self.pool.free == self.total - self.pool.in_use
        assert self.pool.queued == len(self.queue) <= 6


TestPermitMachine = PermitMachine.TestCase

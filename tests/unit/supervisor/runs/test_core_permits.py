"""Permits: never over-committed, never leaked, first come first served."""

from __future__ import annotations

import pytest

from genvm_manager.supervisor.runs.rules_permits import PermitPool, QueueFull


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

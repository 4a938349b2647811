"""The bound on how quickly runs come: a burst, then an average."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.supervisor.runs.rules_rate_limit import RateLimiter


def test_a_second_s_worth_may_come_at_once_and_no_more() -> None:
    limiter = RateLimiter(3, now=100.0)
    assert [limiter.allows(100.0) for _ in range(4)] == [True, True, True, False]
    assert not limiter.allows(100.3)
    assert limiter.allows(100.4)
    assert not limiter.allows(100.4)
    assert [limiter.allows(500.0) for _ in range(4)] == [True, True, True, False]


def test_a_refusal_costs_nothing() -> None:
    limiter = RateLimiter(1, now=0.0)
    assert limiter.allows(0.0)
    assert not any(limiter.allows(0.1 * tick) for tick in range(10))
    assert limiter.allows(1.0)


@given(st.integers(1, 50), st.lists(st.floats(0, 2), max_size=200))
def test_within_any_time_no_more_come_than_a_burst_and_the_average(
    per_second: int, pauses: list[float]
) -> None:
    limiter = RateLimiter(per_second, now=0.0)
    now = 0.0
    came: list[float] = []
    for pause in pauses:
        now += pause
        if limiter.allows(now):
            came.append(now)
    for first, since in enumerate(came):
        for last in range(first, len(came)):
            assert last - first + 1 <= per_second * (1 + came[last] - since) + 1e-6

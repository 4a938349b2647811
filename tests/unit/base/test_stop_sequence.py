"""Stop sequences as data: which signal is due when."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM

from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.base.process.stop_sequence import StopSchedule, StopStep, stop_sequence


def test_a_stop_asks_before_it_kills() -> None:
    assert stop_sequence(3.0) == (StopStep(SIGTERM, 0.0), StopStep(SIGKILL, 3.0))
    assert stop_sequence(3.0, after=2.0) == (StopStep(SIGTERM, 2.0), StopStep(SIGKILL, 5.0))


def test_without_grace_it_only_kills() -> None:
    assert stop_sequence(0.0) == stop_sequence(-1.0) == (StopStep(SIGKILL, 0.0),)


def test_a_schedule_gives_each_signal_once_when_it_is_due() -> None:
    schedule = StopSchedule()
    assert schedule.take(0.0) is schedule.until_next(0.0) is None
    schedule.add(stop_sequence(3.0), now=10.0)
    assert schedule.take(10.0) is SIGTERM
    assert schedule.take(10.0) is None
    assert schedule.until_next(11.0) == 2.0
    assert schedule.take(13.0) is SIGKILL
    assert schedule.until_next(14.0) is None


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), min_size=1))
def test_a_further_sequence_only_shortens_a_stop(begun: list[tuple[float, float]]) -> None:
    """`begun`: when each sequence begins, and its grace."""
    schedule = StopSchedule()
    for at, grace in begun:
        schedule.add(stop_sequence(grace), at)
    kill_at = min(at + grace for at, grace in begun)
    signals = []
    while (number := schedule.take(kill_at)) is not None:
        signals.append(number)
    assert SIGKILL in signals
    first = StopSchedule()
    for at, grace in begun:
        first.add(stop_sequence(grace), at)
    assert all(number is SIGTERM for number in _taken_before(first, kill_at))


def _taken_before(schedule: StopSchedule, time: float) -> list[int]:
    taken: list[int] = []
    while (left := schedule.until_next(0.0)) is not None and left < time:
        number = schedule.take(left)
        assert number is not None
        taken.append(number)
    return taken

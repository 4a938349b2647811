"""Durations and ages do not depend on the wall clock: the pure rules."""

from __future__ import annotations

import pytest

from genvm_manager.base.wall_clock import STEP, WallClock
from genvm_manager.supervisor.store.rules_retention_clock import Mark, RetentionClock

YEAR = 365 * 86_400.0


class Clocks:
    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.monotonic = 50.0
        self.clock = WallClock(lambda: self.wall, lambda: self.monotonic)

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.mark.parametrize("step", [360.0, -360.0, 20 * YEAR, -20 * YEAR, 2 * STEP, -2 * STEP])
def test_what_lies_between_two_moments_does_not_depend_on_a_step(step: float) -> None:
    clocks = Clocks()
    begun = clocks.monotonic
    clocks.sleep(3)
    clocks.wall += step
    clocks.sleep(4)
    ended = clocks.monotonic
    assert clocks.clock.utc(ended) - clocks.clock.utc(begun) == pytest.approx(7, abs=1e-5)
    # By the wall clock the age is the same.
    assert clocks.wall - clocks.clock.utc(begun) == pytest.approx(7, abs=1e-5)


def test_a_moment_is_said_in_the_same_way_as_long_as_nobody_steps_the_clock() -> None:
    clocks = Clocks()
    said = {clocks.clock.utc(50.0)}
    for jitter in (0.0, 0.003, -0.004, 0.05):
        clocks.sleep(10)
        clocks.wall += jitter
        said.add(clocks.clock.utc(50.0))
    assert said == {1_700_000_000.0}


def test_the_retention_clock_goes_on_over_a_restart_in_the_same_boot() -> None:
    first = RetentionClock(Mark(0.0, "", 0.0), 0.0, "boot", 1_000.0)
    assert first.at(1_000.0) == 0.0
    assert first.at(1_250.0) == 250.0
    second = RetentionClock(first.mark(1_060.0), 200.0, "boot", 1_300.0)
    assert second.at(1_300.0) == 300.0


def test_the_time_without_power_does_not_count() -> None:
    first = RetentionClock(Mark(0.0, "", 0.0), 0.0, "boot", 1_000.0)
    mark = first.mark(1_060.0)
    for uptime in (3.0, 500_000.0):
        second = RetentionClock(mark, 75.0, "another", uptime)
        assert second.at(uptime) == 75.0
        assert second.at(uptime + 10) == 85.0


def test_the_retention_clock_never_goes_back() -> None:
    clock = RetentionClock(Mark(500.0, "boot", 900.0), 0.0, "boot", 100.0)
    assert clock.at(100.0) == 500.0
    assert clock.at(90.0) == 500.0

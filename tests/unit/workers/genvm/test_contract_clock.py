"""The contract's time: what it waits for is not counted, at any moment and by any thread."""

from __future__ import annotations

import time

import pytest

from genvm_manager.workers.genvm.engine.contract_clock import ContractClock, Pause


def test_it_goes_on_between_pauses_and_stands_still_in_them() -> None:
    pause = Pause()
    clock = ContractClock(pause)
    with pause:
        began = clock.seconds()
        time.sleep(0.05)
        assert clock.seconds() <= began
        paused = time.monotonic()
    assert clock.seconds() - began <= time.monotonic() - paused
    counted = clock.seconds()
    time.sleep(0.05)
    assert clock.seconds() - counted >= 0.05


def test_a_pause_that_ends_by_an_error_is_over() -> None:
    pause = Pause()
    with pytest.raises(KeyError), pause:
        raise KeyError
    total = pause.seconds(time.monotonic())
    time.sleep(0.01)
    assert pause.seconds(time.monotonic()) == total

"""What `genvm-manager serve` does when its processes are killed while it starts.

For later deaths see `test_crash_matrix.py`.
"""

from __future__ import annotations

import signal

import pytest

from tests.support.service import QUICKLY_GIVEN_UP, RunningService, processes_of
from tests.support.waiting import TIMEOUT, wait_until

DIES = """
import os, pathlib, signal, sys
mark = pathlib.Path(__file__).with_name("died")
if "{module}" in sys.orig_argv and (not mark.exists() or {always}):
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A half's Python is killed as it starts: the first time, or always."""


@pytest.mark.parametrize("module", ["genvm_manager.supervisor", "genvm_manager.manager.server"])
def test_a_half_that_is_killed_during_the_start_is_started_again(module: str) -> None:
    config = "{http_workers: 1}"
    with RunningService(config=config, customize=DIES.format(module=module, always=0)) as service:
        announced = service.log.index("serves http://")
        assert (
            0 <= service.log.index("was ended by SIGKILL; starting it again in 0.2 s") < announced
        )
        assert service.http.get("/readyz").is_success


def test_a_start_that_is_killed_again_and_again_is_given_up() -> None:
    dies = DIES.format(module="genvm_manager.supervisor", always=1)
    service = RunningService(customize=QUICKLY_GIVEN_UP + dies)
    try:
        log = service.folder / "log"
        assert service.launch(log).wait(TIMEOUT) == 1
        last = log.read_text().splitlines()[-1]
        assert last == (
            "genvm-manager: supervisor was ended by SIGKILL; it has died too often, giving up"
        )
        assert not processes_of(service.folder)
    finally:
        service.discard()


def test_a_stop_while_a_killed_half_waits_for_its_next_start() -> None:
    service = RunningService(customize=DIES.format(module="genvm_manager.supervisor", always=1))
    try:
        log = service.folder / "log"
        process = service.launch(log)
        wait_until(lambda: "starting it again in 0.4 s" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        assert not processes_of(service.folder)
    finally:
        service.discard()

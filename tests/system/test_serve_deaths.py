"""What `genvm-manager serve` does when its processes are killed, together or while it starts."""

from __future__ import annotations

import signal

import psutil
import pytest

from tests.support.service import OBEDIENT, RunningService, processes_of, wait_until
from tests.support.supervisor import has_ended

HIDES_A_DAEMON = OBEDIENT.with_name("hides_a_daemon.py")

DIES = """
import os, pathlib, signal, sys
mark = pathlib.Path(__file__).with_name("died")
if "{module}" in sys.orig_argv and (not mark.exists() or {always}):
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A half's Python is killed as it starts: the first time, or always."""


def executors(service: RunningService) -> list[psutil.Process]:
    """The one executor, the process it keeps, and that one's daemon without an environment."""

    def complete() -> list[psutil.Process]:
        found = service.half("supervisor").children(recursive=True)
        return found if len(found) == 3 and not found[-1].environ() else []

    found = wait_until(complete)
    assert isinstance(found, list)
    return found


def cause_of(service: RunningService, genvm_id: int) -> str:
    wait_until(lambda: service.http.get("/readyz").is_success)
    run = service.client.get_run(genvm_id, wait=10).status
    assert run is not None
    return str(run.cause)


def test_guard_and_supervisor_killed_at_once_leave_nothing_of_a_run() -> None:
    with RunningService(config="{http_workers: 1}", executor=HIDES_A_DAEMON) as service:
        genvm_id = service.start_run()
        left = executors(service)
        http = service.half("http")
        supervisor, guard = service.half("supervisor"), service.half("guard")
        service.process.suspend()
        supervisor.suspend()
        guard.kill()
        supervisor.kill()
        wait_until(lambda: has_ended(supervisor))
        assert all(process.is_running() for process in left)
        service.process.resume()
        # Nobody knows the daemon by name: it is ended because it fell to serve.
        wait_until(lambda: all(has_ended(process) for process in left))
        assert cause_of(service, genvm_id) == "lost"
        assert service.half("http") == http
        assert service.half("guard") != guard


def test_a_supervisor_that_lost_its_guard_records_its_runs_before_the_next_comes() -> None:
    with RunningService(config="{http_workers: 1}", executor=HIDES_A_DAEMON) as service:
        genvm_id = service.start_run()
        left = [*executors(service), service.half("supervisor")]
        service.half("guard").kill()
        wait_until(lambda: all(has_ended(process) for process in left))
        wait_until(lambda: "supervisor was ended by SIGKILL; starting it again" in service.log)
        assert cause_of(service, genvm_id) == "shutdown"


def test_the_death_of_http_touches_no_run() -> None:
    with RunningService(config="{http_workers: 2}", executor=HIDES_A_DAEMON) as service:
        genvm_id = service.start_run()
        kept = [*executors(service), service.half("supervisor"), service.half("guard")]
        http = service.half("http")
        gone = [http, *http.children()]
        http.kill()
        wait_until(lambda: service.half("http") != http)
        wait_until(lambda: not any(process.is_running() for process in gone))
        wait_until(lambda: service.http.get("/readyz", timeout=20).is_success)
        assert not any(has_ended(process) for process in kept)
        assert str(genvm_id) in service.client.status().executions
        service.client.cancel(genvm_id, grace_ms=0)


@pytest.mark.parametrize("module", ["supervisor", "manager.http"])
def test_a_half_that_is_killed_during_the_start_is_started_again(module: str) -> None:
    config = "{http_workers: 1}"
    with RunningService(config=config, customize=DIES.format(module=module, always=0)) as service:
        announced = service.log.index("serves http://")
        assert (
            0 <= service.log.index("was ended by SIGKILL; starting it again in 0.2 s") < announced
        )
        assert service.http.get("/readyz").is_success


@pytest.mark.slow
def test_a_start_that_is_killed_again_and_again_is_given_up() -> None:
    service = RunningService(customize=DIES.format(module="supervisor", always=1))
    try:
        log = service.folder / "log"
        assert service.launch(log).wait(60) == 1
        last = log.read_text().splitlines()[-1]
        assert last == (
            "genvm-manager: supervisor was ended by SIGKILL; it has died too often, giving up"
        )
        assert not processes_of(service.folder)
    finally:
        service.discard()


def test_a_stop_while_a_killed_half_waits_for_its_next_start() -> None:
    service = RunningService(customize=DIES.format(module="supervisor", always=1))
    try:
        log = service.folder / "log"
        process = service.launch(log)
        wait_until(lambda: "starting it again in 0.4 s" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not processes_of(service.folder)
    finally:
        service.discard()

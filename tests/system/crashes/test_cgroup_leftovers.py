"""What outlives every process of the service is found by its cgroup."""

from __future__ import annotations

import signal

import psutil

from tests.support.cgroups import given_cgroup
from tests.support.service import OBEDIENT, RunningService
from tests.support.supervisor import has_ended
from tests.support.waiting import TIMEOUT, wait_until

HIDES_A_DAEMON = OBEDIENT.with_name("hides_a_daemon.py")


def executors(service: RunningService) -> list[psutil.Process]:
    """The one executor, the process it keeps, and that one's daemon without an environment."""

    def complete() -> list[psutil.Process]:
        found = service.half("supervisor").children(recursive=True)
        return found if len(found) == 3 and not found[-1].environ() else []

    found = wait_until(complete)
    assert isinstance(found, list)
    return found


def test_what_outlives_serve_shim_and_supervisor_is_ended_by_the_next_start() -> None:
    """The daemon has no name, and falls to nobody of ours: its cgroup tells whose it is."""
    with given_cgroup() as given:
        config = f"{{http_workers: 1, cgroup: {given.path}}}"
        with RunningService(config=config, executor=HIDES_A_DAEMON) as service:
            genvm_id = service.start_run()
            left = executors(service)
            wait_until(lambda: given.members() == {process.pid for process in left})
            ours = [service.process, service.half("shim"), service.half("supervisor")]
            for act in (psutil.Process.suspend, psutil.Process.kill):
                for process in ours:
                    act(process)
            wait_until(lambda: all(has_ended(process) for process in ours))
            assert left[-1].is_running() and not left[-1].environ()
            assert service.stop() == -signal.SIGKILL
            service.start()
            assert all(has_ended(process) for process in left)
            run = service.client.get_run(genvm_id, wait=TIMEOUT).status
            assert run is not None and run.cause == "lost"

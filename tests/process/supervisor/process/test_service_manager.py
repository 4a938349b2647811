"""What the supervisor tells the service manager that has started it, and what that one can do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from genvm_manager.supervisor.process.service_manager import ServiceManager
from tests.support.service_manager import Listener
from tests.support.supervisor import RunningSupervisor, has_ended
from tests.support.waiting import TIMEOUT, wait_until


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "notify")
    yield listener
    listener.close()


def test_it_is_told_again_and_again_that_the_supervisor_is_well(listener: Listener) -> None:
    with RunningSupervisor(starts=False) as supervisor:
        supervisor.start(env=listener.environment)
        idle = "0 running, 0 waiting; 0 of 8 permits in use"
        well = {"READY": "1", "WATCHDOG": "1", "STATUS": idle}
        assert listener.hear() == {"FDSTORE": "1", "FDNAME": "genvm-handover"}
        assert [listener.hear() for _ in range(3)] == [well] * 3
        run_id = supervisor.client.start("slow")
        listener.hear_until("STATUS", "1 running, 0 waiting; 1 of 8 permits in use")
        (pid,) = [each.pid for each in supervisor.client.status().executions]
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(psutil.Process(pid).environ())
        supervisor.client.cancel(run_id)
        supervisor.process.terminate()
        assert supervisor.process.wait(TIMEOUT) == 0


def test_a_supervisor_that_drains_asks_for_more_time(listener: Listener) -> None:
    with RunningSupervisor("drain_timeout: 600s\n", starts=False) as supervisor:
        supervisor.start(env=listener.environment)
        supervisor.client.start("ignores_term")
        supervisor.process.terminate()
        for _ in range(3):
            said = listener.hear_until("STOPPING", "1")
            assert said["EXTEND_TIMEOUT_USEC"] == "30000000"
            assert said["STATUS"].startswith("1 running")
            assert "READY" not in said
        supervisor.process.terminate()
        assert supervisor.process.wait(TIMEOUT) == 0


def test_one_that_hangs_is_silent_and_its_shim_ends_it_when_told(listener: Listener) -> None:
    with RunningSupervisor(starts=False) as supervisor:
        supervisor.start(env=listener.environment)
        supervisor.client.start("hides_a_daemon")
        wait_until(lambda: len(supervisor.processes()) >= 4)
        hung = psutil.Process(supervisor.pid)
        family = [hung, *hung.children(recursive=True)]
        hung.suspend()
        assert listener.falls_silent()
        supervisor.process.send_signal(signal.SIGABRT)
        assert supervisor.process.wait(TIMEOUT) == -signal.SIGKILL
        assert all(has_ended(process) for process in family)
        assert "says that the supervisor hangs" in supervisor.log


def test_one_that_can_says_first_where_it_hangs() -> None:
    with RunningSupervisor(starts=False) as supervisor:
        supervisor.start()
        supervisor.process.send_signal(signal.SIGABRT)
        assert supervisor.process.wait(TIMEOUT) == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in supervisor.log
        assert "in run_forever" in supervisor.log


def test_without_a_service_manager_nothing_is_told() -> None:
    manager = ServiceManager.named_in({})
    assert not manager.is_there
    manager.tell("READY=1")


def test_a_timeout_that_is_for_another_process_does_not_count() -> None:
    for watched, timeout in ((os.getpid(), 2.0), (os.getppid(), 2.0), (1, None)):
        variables = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "2000000"}
        manager = ServiceManager.named_in(variables | {"WATCHDOG_PID": str(watched)})
        assert manager.is_there
        assert manager.timeout == timeout


def test_what_names_it_is_taken_out_of_the_environment() -> None:
    variables = {
        "NOTIFY_SOCKET": "@abstract",
        "WATCHDOG_USEC": "many",
        "WATCHDOG_PID": "1",
        "A": "b",
    }
    assert ServiceManager.named_in(variables).timeout is None
    assert variables == {"A": "b"}


def test_what_finds_no_room_or_no_listener_is_lost_without_waiting(tmp_path: Path) -> None:
    ServiceManager(str(tmp_path / "nobody")).tell("READY=1")
    listener = Listener(tmp_path / "notify")
    manager = ServiceManager(str(tmp_path / "notify"))
    for number in range(2000):
        manager.tell(f"STATUS={number}")
    assert listener.hear() == {"STATUS": "0"}
    listener.close()

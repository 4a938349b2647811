"""`--die-with-parent`: when the process that started the manager ends, all of the manager ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from genvm_manager.supervisor.process.stop_requests import SHUTDOWN_GRACE
from tests.support.service import processes_of
from tests.support.studio import DEAF, SLEEPING, Studio, studio_request
from tests.support.waiting import TIMEOUT, wait_until

STARTS_AND_WAITS = """
import subprocess, sys, threading
def start():
    subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
thread = threading.Thread(target=start)
thread.start()
thread.join()
threading.Event().wait()
"""
"""A parent whose starting thread ends at once, and whose end breaks the manager's pipes."""


@pytest.fixture
def studio() -> Iterator[Studio]:
    with Studio() as studio:
        yield studio


def start_under_a_parent(studio: Studio, *command: str) -> subprocess.Popen[bytes]:
    """The parent, once what it has started answers."""
    parent = studio.start(sys.executable, "-c", STARTS_AND_WAITS, *(command or studio.command))
    studio.await_status()
    return parent


def kill(parent: subprocess.Popen[bytes]) -> None:
    parent.kill()
    parent.wait()


def test_everything_goes_when_the_parent_is_killed(studio: Studio) -> None:
    socket = studio.folder / "http.sock"
    parent = start_under_a_parent(studio, *studio.command, "--socket", str(socket))
    for major in (SLEEPING, DEAF):
        studio.start_run(studio_request(major=major))
    wait_until(lambda: any(p.name() == "sleep" for p in processes_of(studio.folder)))
    wait_until(socket.is_socket)
    assert len(processes_of(studio.folder)) >= 8
    kill(parent)
    wait_until(lambda: not studio.leftovers(), within=TIMEOUT)
    assert not socket.exists()
    manager = studio.start()
    runs = studio.await_status()["executions"]
    assert [studio.poll(int(run))["cause"] for run in runs] == ["shutdown"] * 2  # type: ignore[index]
    assert studio.stop(manager, signal.SIGTERM) == 0


def test_who_waits_for_an_answer_does_not_hold_it_up(studio: Studio) -> None:
    parent = start_under_a_parent(studio)
    genvm_id = studio.start_run(studio_request(major=SLEEPING))
    client = studio.start("curl", "-s", f"http://127.0.0.1:{studio.port}/genvm/{genvm_id}?wait=60s")
    wait_until(lambda: psutil.Process(client.pid).net_connections())
    kill(parent)
    wait_until(lambda: not studio.leftovers(), within=TIMEOUT)
    client.wait(TIMEOUT)


def test_a_stop_under_way_is_hurried(studio: Studio) -> None:
    parent = start_under_a_parent(studio)
    studio.start_run(studio_request(major=SLEEPING))
    wait_until(studio.is_up)
    manager = psutil.Process(parent.pid).children()[0]
    manager.terminate()
    wait_until(lambda: not studio.is_up())
    assert manager.is_running()
    kill(parent)
    wait_until(lambda: not studio.leftovers(), within=TIMEOUT)


def test_a_parent_that_is_gone_before_it_is_looked_for_counts(studio: Studio) -> None:
    """The files in `bin` note who starts them; Python comes to look for it only later."""
    gone = studio.start("true")
    gone.wait()
    module = [
        sys.executable,
        "-P",
        "-m",
        "genvm_manager.manager.cli.genvm_modules",
        "--root",
        str(studio.root),
    ]
    options = ["--started-by", str(gone.pid), "manager", *studio.command[2:]]
    assert studio.start(*module, *options).wait(TIMEOUT) == 0
    assert not studio.leftovers()
    assert "serves" not in studio.log


def test_a_third_signal_waits_for_nothing(studio: Studio) -> None:
    """The second one lets a run that is deaf to SIGTERM have its grace."""

    def stop(*more: signal.Signals) -> float:
        manager = studio.start()
        wait_until(studio.is_up)
        studio.start_run(studio_request(major=DEAF))
        stops = studio.log.count("supervisor_stopping")
        begin = time.monotonic()
        manager.send_signal(signal.SIGTERM)
        wait_until(lambda: studio.log.count("supervisor_stopping") > stops)
        for number in more:
            manager.send_signal(number)
        assert manager.wait(TIMEOUT) == 0
        assert not studio.leftovers()
        return time.monotonic() - begin

    with_grace = stop(signal.SIGTERM)
    assert with_grace > SHUTDOWN_GRACE
    # Those of one kind may merge.
    assert stop(signal.SIGTERM, signal.SIGINT) < with_grace


def test_without_it_the_manager_outlives_its_parent(studio: Studio) -> None:
    parent = start_under_a_parent(studio, *studio.command[:-1])
    wait_until(studio.is_up)
    manager = psutil.Process(parent.pid).children()[0]
    kill(parent)
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 1)
    assert studio.ask("GET", "/status").status == 200
    manager.terminate()
    wait_until(lambda: not studio.leftovers(), within=TIMEOUT)

"""The shim: whatever ends the supervisor, nothing that it started is left; and the other way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from genvm_manager.protocol.ipc.runs import Cause, Exit
from tests.support.supervisor import PROJECT, Client, RunningSupervisor, has_ended
from tests.support.waiting import TIMEOUT, wait_until


def family(client: Client, run_id: int) -> list[psutil.Process]:
    """A run's executor and all that descends from it."""
    (pid,) = [each.pid for each in client.status().executions if each.id == run_id]
    executor = psutil.Process(pid)
    return [executor, *executor.children(recursive=True)]


def is_without_name(process: psutil.Process) -> bool:
    """Whether it has thrown away its environment."""
    return process.name() == "sleep" and not process.environ()


def shim(supervise: str, **options: object) -> subprocess.Popen[str]:
    """A shim of what the lines `supervise` do, as the body of a function."""
    body = "".join(f"    {line}\n" for line in supervise.splitlines())
    program = (
        "import os, signal, subprocess, sys, time\n"
        "from genvm_manager.supervisor.process.shim import run_under_shim\n"
        f"def supervise(pipe):\n{body}"
        "sys.exit(run_under_shim(supervise))\n"
    )
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", program], cwd=PROJECT, text=True, **options
    )


def test_nothing_of_a_killed_supervisor_is_left_though_nothing_is_restarted() -> None:
    with RunningSupervisor() as supervisor:
        client = supervisor.client
        run_id = client.start("hides_a_daemon")
        deaf = client.start("ignores_term")
        wait_until(lambda: client.catches(signal.SIGTERM, deaf))
        wait_until(lambda: is_without_name(family(client, run_id)[-1]))
        left = family(client, run_id) + family(client, deaf)
        assert len(left) == 4
        assert len({os.getsid(process.pid) for process in left}) == 4
        os.kill(supervisor.pid, signal.SIGKILL)
        assert supervisor.process.wait(TIMEOUT) == -signal.SIGKILL
        assert all(has_ended(process) for process in left)
        assert not supervisor.processes()
        for process in left:
            assert str(process.pid) in supervisor.log.splitlines()[-1]
        supervisor.start()
        assert supervisor.client.finished(run_id).cause is Cause.LOST


def test_without_its_shim_the_supervisor_ends_its_runs_and_stops() -> None:
    with RunningSupervisor("drain_timeout: 600s\n") as supervisor:
        client = supervisor.client
        run_id = client.start("hides_a_daemon")
        wait_until(lambda: is_without_name(family(client, run_id)[-1]))
        left = family(client, run_id)
        own = psutil.Process(supervisor.pid)
        supervisor.process.kill()
        wait_until(lambda: not supervisor.processes())
        assert supervisor.process.wait(TIMEOUT) == -signal.SIGKILL
        # One that is about to end has no command line any more, by which to be found.
        wait_until(lambda: all(has_ended(process) for process in (own, *left)))
        assert "supervisor_stopped" in supervisor.log
        supervisor.hang_up()
        supervisor.start()
        run = supervisor.client.finished(run_id)
        assert (run.cause, run.exit) == (Cause.SHUTDOWN, Exit(signal=9))


def test_a_signal_to_the_whole_group_is_one_request() -> None:
    with RunningSupervisor("drain_timeout: 600s\n", starts=False) as supervisor:
        supervisor.start(start_new_session=True)
        client = supervisor.client
        first, second = client.start("ignores_term"), client.start("ignores_term")
        os.killpg(supervisor.process.pid, signal.SIGINT)
        wait_until(lambda: not client.status().accepting)
        client.cancel(first)
        assert client.finished(first).cause is Cause.CANCELLED
        os.killpg(supervisor.process.pid, signal.SIGINT)
        assert client.finished(second).cause is Cause.SHUTDOWN
        assert supervisor.process.wait(TIMEOUT) == 0


def test_the_shim_ends_as_its_supervisor_did() -> None:
    assert shim("return 73").wait(TIMEOUT) == 73
    for number in (signal.SIGSEGV, signal.SIGTERM, signal.SIGKILL):
        ended = shim(f"os.kill(os.getpid(), {number:d})\ntime.sleep(600)")
        assert ended.wait(TIMEOUT) == -number


def test_what_fell_to_the_shim_is_ended_before_it() -> None:
    """Helpers of the supervisor's own session may go by themselves, but not for long."""
    spawn = (
        "for session in (False, True):\n"
        "    child = subprocess.Popen(['sleep', '600'], start_new_session=session)\n"
        "    print(child.pid, flush=True)\n"
        "return 0"
    )
    begun = time.monotonic()
    with shim(spawn, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ended:
        said, complaint = ended.communicate(timeout=TIMEOUT)
    assert time.monotonic() - begun >= 1
    assert ended.returncode == 0
    helper, stray = said.split()
    assert not psutil.pid_exists(int(helper)) and not psutil.pid_exists(int(stray))
    assert helper in complaint and stray in complaint


@pytest.mark.parametrize("ends_by", ["return 0", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_children_that_were_there_before_are_left_alone(ends_by: str) -> None:
    program = "from genvm_manager.supervisor.process.shim import run_under_shim\n"
    program += f"import os, signal, sys\ndef run(pipe): {ends_by}"
    script = 'sleep 600 & echo $!; exec "$0" -c "$1"'
    command = ["/bin/sh", "-c", script, sys.executable, f"{program}\nsys.exit(run_under_shim(run))"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        outsider = psutil.Process(int(shell.stdout.readline()))
        shell.wait(TIMEOUT)
        assert outsider.is_running()
        outsider.kill()


def test_children_of_the_supervisors_own_session_are_for_their_owners() -> None:
    """They are neither reaped nor killed by the sweep, though no run is theirs."""
    program = (
        "import asyncio, logging, os, subprocess, time\n"
        "from genvm_manager.base.logging.event_log import EventLog\n"
        "from genvm_manager.supervisor.cgroups.cgroup_manager import CgroupManager\n"
        "from genvm_manager.supervisor.runs.reaper import Reaper\n"
        "log = EventLog(logging.getLogger())\n"
        "reaper = Reaper(CgroupManager((), 0, log), log)\n"
        "sleeper = subprocess.Popen(['sleep', '600'])\n"
        "ended = subprocess.Popen(['true'])\n"
        "os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)\n"
        "stray = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "while reaper.sweep(): time.sleep(0.01)\n"
        "print(sleeper.poll(), ended.wait(), os.path.exists(f'/proc/{stray.pid}'))\n"
        "sleeper.kill()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert done.stdout.split() == ["None", "0", "False"]

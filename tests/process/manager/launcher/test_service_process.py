"""One process of a service, as `serve` holds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from genvm_manager.manager.launcher.service_process import ServiceProcess
from tests.support.waiting import TIMEOUT, wait_until

LEADER = """
import os, sys
parent_pipe = int(sys.argv[-1])
first = os.fork()
if not first:
    os._exit(0)
os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
os.fork()
os.read(parent_pipe, 1)
os._exit(0)
"""
"""Has two children: the first is a zombie, the second lives until the pipe closes."""


@pytest.fixture
def leader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceProcess]:
    (tmp_path / "leader_of_two.py").write_text(LEADER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = ServiceProcess("leader", ["leader_of_two"], stop_timeout=TIMEOUT)
    process.start()
    yield process
    process.kill_tree()
    assert process.ended(within=TIMEOUT)
    process.reap()


def test_a_zombie_hides_no_living_process_of_its_session(leader: ServiceProcess) -> None:
    parent = psutil.Process(leader.pid)
    wait_until(lambda: len(parent.children()) == 2)
    (zombie, living) = sorted(parent.children(), key=lambda child: child.pid)
    assert zombie.status() == psutil.STATUS_ZOMBIE
    assert leader._has_session_members()
    living.kill()
    wait_until(lambda: living.status() == psutil.STATUS_ZOMBIE)
    assert not leader._has_session_members()

"""A service in a container: what its real cgroup allows bounds permits, and `doctor` says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genvm_manager.base.check_result import decode_results
from tests.support.cgroups import MEMORY, UNIFIED, GivenCgroup, given_cgroup
from tests.support.supervisor import RunningSupervisor
from tests.support.waiting import TIMEOUT

LIMIT = 1 << 30
PERMIT = LIMIT // 8
CONFIG = f"permits: {{gib_per_permit: {PERMIT / (1 << 30)}}}\n"


@pytest.fixture
def limited() -> Iterator[GivenCgroup]:
    """A cgroup that may use `LIMIT` bytes; it is below one that has no limit."""
    with given_cgroup() as given:
        if not given.bounds_memory:
            pytest.skip("no memory controller on this machine can be had for a test")
        has_v1 = MEMORY in given.folders
        folder = given.folders[MEMORY if has_v1 else UNIFIED]
        (folder / ("memory.limit_in_bytes" if has_v1 else "memory.max")).write_text(str(LIMIT))
        (folder / "inner").mkdir()
        yield GivenCgroup(given.path, {"limited": folder})


def inside(given: GivenCgroup) -> None:
    (given.folders["limited"] / "inner" / "cgroup.procs").write_text("0")


def test_permits_are_worth_what_the_cgroup_leaves(limited: GivenCgroup) -> None:
    with RunningSupervisor(CONFIG, starts=False) as supervisor:
        supervisor.start(preexec_fn=lambda: inside(limited))
        total = supervisor.client.status().permits.total
        supervisor.process.terminate()
        assert supervisor.process.wait(TIMEOUT) == 0
        log = supervisor.log
    # What Python itself takes is less than two permits' worth.
    assert 6 <= total < 8
    assert f"permits_by_memory permits={total} bound={limited.folders['limited']}/memory." in log


def test_doctor_says_what_bounds_it(limited: GivenCgroup, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"{CONFIG}run_memory_limit: {LIMIT}\n")
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "genvm_manager.supervisor.check", f"--config={config}"],
        preexec_fn=lambda: inside(limited),
        stdout=subprocess.PIPE,
        timeout=TIMEOUT,
        check=True,
    )
    (says,) = [each.says for each in decode_results(ended.stdout) if each.topic == "memory"]
    assert f" of 1.0 GiB are available, bounded by {limited.folders['limited']}/memory." in says

"""How much memory runs may use, out of trees of files like those of cgroups v1 and v2."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from genvm_manager.base.check_result import CheckStatus
from genvm_manager.base.settings.config import Config, PermitCosts
from genvm_manager.supervisor.cgroups.available_memory import (
    MACHINE,
    AvailableMemory,
    available_memory,
    permits_by_memory,
)
from genvm_manager.supervisor.cgroups.memory_check import examine_memory

MIB = 1 << 20
GIB = 1 << 30
UNLIMITED = 9223372036854771712
"""As v1 writes it, with pages of 4 KiB."""

ONE, MORE = 512 * MIB, 768 * MIB
"""Limits below what any machine has that runs these tests."""

Read = Callable[..., AvailableMemory]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read the memory with these memberships and mounts, of which each is `KIND TOP FOLDER`."""

    def read(membership: str, *mounts: str, setting: str | None = None) -> AvailableMemory:
        lines = []
        for kind, top, folder in (mount.split() for mount in mounts):
            system = "cgroup2 cgroup2 rw" if kind == "v2" else f"cgroup cgroup rw,{kind}"
            lines.append(f"31 23 0:28 {top} {tmp_path}/{folder} rw shared:9 - {system}\n")
        (tmp_path / "mountinfo").write_text("".join(lines))
        (tmp_path / "cgroup").write_text(membership)
        return available_memory(setting, str(tmp_path))

    return read


def unified(folder: Path, **files: int | str) -> None:
    """A cgroup of v2; `memory_max=1` is what `memory.max` holds."""
    limits: dict[str, int | str] = {"memory_max": "max", "memory_high": "max", "memory_current": 0}
    _write(folder, limits | files)


def legacy(folder: Path, **files: int | str) -> None:
    """A cgroup of v1's memory controller."""
    limits: dict[str, int | str] = {"memory_limit_in_bytes": UNLIMITED, "memory_usage_in_bytes": 0}
    _write(folder, limits | files)


def _write(folder: Path, files: dict[str, int | str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("memory_", "memory.", 1)).write_text(f"{value}\n")


def test_a_container_with_a_namespace_of_its_own(tmp_path: Path, read: Read) -> None:
    stat = f"anon 1\nfile {90 * MIB}\ninactive_file {40 * MIB}"
    unified(tmp_path / "fs", memory_max=ONE, memory_current=100 * MIB, memory_stat=stat)
    found = read("0::/\n", "v2 / fs")
    assert (found.total, found.available) == (ONE, ONE - 60 * MIB)
    assert found.bound == f"{tmp_path}/fs/memory.max"


@pytest.mark.parametrize("name", ["memory_max", "memory_high"])
def test_the_least_of_all_cgroups_above_counts(tmp_path: Path, read: Read, name: str) -> None:
    unified(tmp_path / "fs/a", **{name: ONE, "memory_current": MIB})
    unified(tmp_path / "fs/a/b", memory_max=MORE, memory_current=MIB)
    unified(tmp_path / "fs/a/b/c")
    found = read("0::/a/b/c\n", "v2 / fs")
    assert (found.total, found.available) == (ONE, ONE - MIB)
    assert found.bound == f"{tmp_path}/fs/a/{name.replace('_', '.')}"


def test_a_wider_cgroup_that_is_nearly_full_leaves_less(tmp_path: Path, read: Read) -> None:
    unified(tmp_path / "fs/a", memory_max=MORE, memory_current=MORE - MIB)
    unified(tmp_path / "fs/a/b", memory_max=ONE, memory_current=0)
    assert read("0::/a/b\n", "v2 / fs") == AvailableMemory(ONE, MIB, f"{tmp_path}/fs/a/memory.max")


def test_a_cgroup_beyond_its_limit_leaves_nothing(tmp_path: Path, read: Read) -> None:
    unified(tmp_path / "fs", memory_high=ONE, memory_current=MORE)
    assert read("0::/\n", "v2 / fs").available == 0


def test_v1_without_a_namespace(tmp_path: Path, read: Read) -> None:
    stat = f"cache 1\ninactive_file 5\ntotal_inactive_file {MIB}"
    legacy(tmp_path / "m", memory_limit_in_bytes=ONE, memory_usage_in_bytes=3 * MIB,
           memory_stat=stat)  # fmt: skip
    found = read("9:cpu:/docker/abc\n4:memory:/docker/abc\n", "memory /docker/abc m")
    assert (found.total, found.available) == (ONE, ONE - 2 * MIB)
    assert found.bound == f"{tmp_path}/m/memory.limit_in_bytes"


def test_v1_tells_of_a_limit_above_what_is_mounted(tmp_path: Path, read: Read) -> None:
    legacy(tmp_path / "m", memory_stat=f"hierarchical_memory_limit {ONE}\ninactive_file {MIB}",
           memory_usage_in_bytes=2 * MIB)  # fmt: skip
    found = read("4:memory:/\n", "memory / m")
    assert (found.total, found.available) == (ONE, ONE - MIB)


def test_both_versions_side_by_side(tmp_path: Path, read: Read) -> None:
    (tmp_path / "m/unified/e").mkdir(parents=True)
    legacy(tmp_path / "m/memory/e", memory_limit_in_bytes=ONE)
    found = read("4:hugetlb,memory:/e\n0::/e\n", "v2 / m/unified", "hugetlb,memory / m/memory")
    assert found.available == ONE


def test_a_mount_elsewhere_and_another_one_that_does_not_show_us(
    tmp_path: Path, read: Read
) -> None:
    unified(tmp_path / "elsewhere", memory_max=ONE)
    unified(tmp_path / "host", memory_max=MIB)
    found = read("0::/pod/us\n", "v2 /other host", "v2 /pod/us elsewhere")
    assert found.available == ONE


def test_what_was_mounted_before_our_namespace_began(tmp_path: Path, read: Read) -> None:
    unified(tmp_path / "fs", memory_max=MORE)
    assert read("0::/\n", "v2 /../.. fs").available == MORE
    for folder, limit, pid in (("a/b", MIB, 1), ("a/us", ONE, os.getpid()), ("a/us/c", MIB, 1)):
        unified(tmp_path / "fs" / folder, memory_max=limit)
        (tmp_path / "fs" / folder / "cgroup.procs").write_text(f"0\n{pid}\n")
    assert read("0::/\n", "v2 /../.. fs").available == ONE
    assert read("0::/c\n", "v2 /../.. fs").available == MORE


def test_the_cgroup_that_the_settings_name_counts_too(tmp_path: Path, read: Read) -> None:
    unified(tmp_path / "fs/us", memory_max=MORE)
    unified(tmp_path / "fs/runs", memory_max=ONE)
    assert read("0::/us\n", "v2 / fs", setting="/runs").available == ONE
    assert read("0::/us\n", "v2 / fs", setting="auto").available == MORE


@pytest.mark.parametrize(
    ("membership", "mounts"),
    [
        ("", []),
        ("0::/\n", []),
        ("0::/\n", ["v2 / nothing"]),
        ("0::/a\n", ["v2 /b fs"]),
        ("0::/../other\n", ["v2 / fs/us"]),
        ("0::/us (deleted)\n", ["v2 / fs"]),
        ("4:memory:/\n", ["memory / unlimited"]),
        ("4:memory:/\n", ["memory / nonsense"]),
        ("0::/\n", ["v2 / unlimited"]),
    ],
)
def test_without_a_readable_bound_the_machine_is_the_bound(
    tmp_path: Path, read: Read, membership: str, mounts: list[str]
) -> None:
    unified(tmp_path / "fs")
    unified(tmp_path / "fs/other", memory_max=MIB)
    unified(tmp_path / "unlimited")
    legacy(tmp_path / "unlimited", memory_stat=f"hierarchical_memory_limit {UNLIMITED}")
    legacy(tmp_path / "nonsense", memory_limit_in_bytes="-1", memory_usage_in_bytes="\n\nx y\n")
    found = read(membership, *mounts)
    assert (found.total, found.bound) == (psutil.virtual_memory().total, MACHINE)


def test_no_proc_at_all(tmp_path: Path) -> None:
    assert available_memory(None, str(tmp_path)).bound == MACHINE


def test_permits_are_worth_their_memory_and_the_dearest_run_always_fits() -> None:
    costs = PermitCosts(gib_per_permit=0.5)
    assert permits_by_memory(costs, AvailableMemory(4 * GIB, 3 * GIB)) == 6
    assert permits_by_memory(costs, AvailableMemory(4 * GIB, 0)) == costs.dearest


@pytest.mark.parametrize(
    ("config", "status", "says"),
    [
        (Config(), CheckStatus.WARNING, "; one run may take 4.0 GiB (run_memory_limit)"),
        (Config(run_memory_limit=GIB), CheckStatus.OK, ": 2 permits for a service that starts now"),
        (
            Config(run_memory_limit=GIB, permits=PermitCosts(total=9, gib_per_permit=0.25)),
            CheckStatus.WARNING,
            "; 9 permits stand for 2.2 GiB",
        ),
        (
            Config(run_memory_limit=GIB, permits=PermitCosts(total=8, gib_per_permit=0.25)),
            CheckStatus.OK,
            "; 8 permits are set",
        ),
    ],
)
def test_doctor_holds_permits_and_the_limit_of_a_run_against_it(
    config: Config, status: CheckStatus, says: str
) -> None:
    found = examine_memory(config, AvailableMemory(2 * GIB, GIB, "/x/memory.max"))
    assert found.status is status
    assert found.says == f"1.0 of 2.0 GiB are available, bounded by /x/memory.max{says}"

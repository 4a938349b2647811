"""Where cgroups are, out of what /proc says on machines of several kinds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.settings.config import Config, parse_config
from genvm_manager.supervisor.cgroups.folder import number
from genvm_manager.supervisor.cgroups.leftovers import Leftovers, record_slices, slice_name
from genvm_manager.supervisor.cgroups.memory import LEGACY, UNIFIED, MemoryUse
from genvm_manager.supervisor.cgroups.rules_paths import Hierarchies, Hierarchy, parse_hierarchies

TODAY = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,hugetlb,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
CONTAINER = """\
600 599 0:32 /docker/abc /sys/fs/cgroup/memory ro master:11 - cgroup cgroup rw,memory
601 599 0:32 /docker/abc /mnt/once\\040more ro - cgroup cgroup rw,memory
"""


def test_the_unified_hierarchy_alone() -> None:
    found = parse_hierarchies(TODAY, "0::/system.slice/genvm.service\n")
    unified = Hierarchy("/sys/fs/cgroup", "/", "/system.slice/genvm.service")
    assert found == Hierarchies(unified, None)
    assert unified.folder(unified.own) == "/sys/fs/cgroup/system.slice/genvm.service"
    assert unified.folder("/") == "/sys/fs/cgroup"


def test_both_versions_side_by_side() -> None:
    found = parse_hierarchies(HYBRID, "5:hugetlb,memory:/a:b\n2:cpu:/c\n1:name=systemd:/d\n0::/e\n")
    assert found.memory == Hierarchy("/sys/fs/cgroup/memory", "/", "/a:b")
    assert found.unified == Hierarchy("/sys/fs/cgroup/unified", "/", "/e")


def test_a_part_of_a_hierarchy_in_a_container() -> None:
    found = parse_hierarchies(CONTAINER, "4:memory:/docker/abc\n")
    assert found.unified is None and found.memory is not None
    assert found.memory.folder("/docker/abc") == "/sys/fs/cgroup/memory"
    assert found.memory.folder("/docker/abc/x") == "/sys/fs/cgroup/memory/x"
    assert found.memory.folder("/docker/abcd") is None
    assert found.memory.folder("/") is None


def test_white_space_in_a_path() -> None:
    found = parse_hierarchies(CONTAINER.splitlines()[1], "4:memory:/docker/abc\n")
    assert found.memory is not None and found.memory.mount == "/mnt/once more"


def test_no_cgroups_at_all() -> None:
    assert parse_hierarchies("", "") == Hierarchies(None, None)
    assert parse_hierarchies(HYBRID, "") == Hierarchies(None, None)


def test_numbers_in_the_kernels_files(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    (tmp_path / "memory.peak").write_text("4096\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert number(str(tmp_path), "memory.events", b"oom_kill") == 2
    assert number(str(tmp_path), "memory.peak") == 4096
    assert number(str(tmp_path), "memory.max") is None
    assert number(str(tmp_path), "memory.events", b"high") is None
    assert UNIFIED.use(str(tmp_path), 9) == MemoryUse(limit=9, oom_kills=2, peak=4096)
    assert LEGACY.use(str(tmp_path), 9) is None


@pytest.mark.parametrize("cgroup", ["genvm", "", "//a", "/a/", "/a/../b", "/./a", "/a\nb"])
def test_a_setting_that_is_no_cgroup(cgroup: str) -> None:
    with pytest.raises(BadRequest, match=r"^cgroup: expected auto, null or a path"):
        parse_config(json.dumps({"cgroup": cgroup}))


@pytest.mark.parametrize("cgroup", ["/", "/a", "/a/b.slice/c d", "auto", None])
def test_a_setting_that_may_be_one(cgroup: str | None) -> None:
    assert Config(cgroup=cgroup).cgroup == cgroup


def test_a_record_ends_nothing_but_the_slices_of_a_dead_supervisor(tmp_path: Path) -> None:
    ours = tmp_path / slice_name()
    others = [tmp_path / name for name in ("runs.1.x", "runs..", "runs.4194305", "runs", "x.1.1")]
    for folder in (ours, *others):
        folder.mkdir()
    record_slices(str(tmp_path), [str(folder) for folder in (ours, *others)])
    assert Leftovers(str(tmp_path)).end(1.0) == []
    assert all(folder.exists() for folder in (ours, *others))
    assert not (tmp_path / "cgroups").exists()

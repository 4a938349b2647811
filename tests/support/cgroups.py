"""A cgroup for tests, made below the root of the hierarchies that this machine has."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genvm_manager.supervisor.cgroups.folder import kill, members, remove
from genvm_manager.supervisor.cgroups.rules_paths import Hierarchies, parse_hierarchies

from .waiting import wait_until

UNIFIED, MEMORY = "unified", "memory"
"""Hierarchies: that of cgroups v2, and that of v1's memory controller."""


class GivenCgroup:
    """`path` is as `/proc/PID/cgroup` has it, `folders` say where that lies by hierarchy."""

    def __init__(self, path: str, folders: dict[str, Path]) -> None:
        self.path = path
        self.folders = folders

    @property
    def bounds_memory(self) -> bool:
        """Whether the memory of this cgroup can be limited."""
        return MEMORY in self.folders or _has_memory(self.folders[UNIFIED])

    @property
    def slices(self) -> list[Path]:
        """What supervisors have made in it for their runs."""
        return [home for folder in self.folders.values() for home in folder.glob("runs.*")]

    def members(self, below: str = "") -> set[int]:
        """Return the processes in it and below it in every hierarchy, or in a part of it."""
        return set.intersection(
            *(set(members(str(folder / below))) for folder in self.folders.values())
        )


def hierarchies() -> Hierarchies:
    """Return the cgroup hierarchies of this process."""
    membership = Path("/proc/self/cgroup").read_text()
    return parse_hierarchies(Path("/proc/self/mountinfo").read_text(), membership)


@contextmanager
def given_cgroup(*wanted: str) -> Iterator[GivenCgroup]:
    """Make a cgroup in each of the wanted hierarchies; if none is named, in all that allow it.

    Skip the test if there can be none. At the end the cgroup must be empty.
    """
    path = f"/genvm-test-{secrets.token_hex(4)}"
    folders = dict(_possible(path, wanted or (UNIFIED, MEMORY)))
    if not folders or (wanted and len(folders) < len(wanted)):
        pytest.skip(f"no cgroup can be made in the hierarchies {wanted or 'of this machine'}")
    try:
        yield GivenCgroup(path, folders)
    finally:
        for folder in map(str, folders.values()):
            kill(folder)
            wait_until(lambda each=folder: remove([each]))  # type: ignore[misc]


def _possible(path: str, wanted: Iterable[str]) -> Iterator[tuple[str, Path]]:
    found = hierarchies()
    for name in wanted:
        hierarchy = getattr(found, name)
        folder = None if hierarchy is None else hierarchy.folder(path)
        if folder is None:
            continue
        try:
            os.mkdir(folder)
        except OSError:
            continue
        yield name, Path(folder)


def _has_memory(folder: Path) -> bool:
    return "memory" in (folder / "cgroup.controllers").read_text().split()

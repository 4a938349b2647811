"""How much memory runs may use: the machine's, or less where a cgroup allows less."""

from __future__ import annotations

import os
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path

import psutil

from genvm_manager.base.settings.config import AUTO, PermitCosts

from .folder import number, own_members
from .rules_paths import Hierarchy, parse_hierarchies

MACHINE = "the machine's memory"


@dataclass(frozen=True, slots=True)
class AvailableMemory:
    """Total and free bytes, each the least that any bound leaves.

    `bound` says which bound leaves the least: `MACHINE`, or a cgroup's file.
    """

    total: int
    available: int
    bound: str = MACHINE

    def within(self, limit: int, used: int, bound: str) -> AvailableMemory:
        """Return this with a further bound of `limit` bytes, of which `used` bytes are in use."""
        available = max(0, limit - used)
        if available >= self.available:
            return AvailableMemory(min(limit, self.total), self.available, self.bound)
        return AvailableMemory(min(limit, self.total), available, bound)


@dataclass(frozen=True, slots=True)
class _Controller:
    """The files of a memory controller. Each of `limits` bounds what `usage` says."""

    limits: tuple[tuple[str, bytes], ...]
    """Names, and the key in the file or nothing."""

    usage: str
    file_cache: tuple[bytes, ...]
    """Keys in `memory.stat`, the first that is there, of what the kernel drops when it needs to."""


_UNIFIED = _Controller(
    limits=(("memory.max", b""), ("memory.high", b"")),
    usage="memory.current",
    file_cache=(b"inactive_file",),
)
_LEGACY = _Controller(
    # The second is the least of all cgroups above, those that a container does not see included.
    limits=(("memory.limit_in_bytes", b""), ("memory.stat", b"hierarchical_memory_limit")),
    usage="memory.usage_in_bytes",
    file_cache=(b"total_inactive_file", b"inactive_file"),
)


def available_memory(cgroup: str | None, proc: str = "/proc/self") -> AvailableMemory:
    """Return the memory for runs: what the machine has, and what every cgroup of ours allows.

    `cgroup` is the setting of that name; runs are put below it, so it bounds them too. A bound
    that cannot be read is ignored.
    """
    machine = psutil.virtual_memory()
    found = AvailableMemory(machine.total, machine.available)
    try:
        mounts, membership = (Path(proc, name).read_text() for name in ("mountinfo", "cgroup"))
    except OSError:
        return found
    hierarchies = parse_hierarchies(mounts, membership)
    pairs = (hierarchies.unified, _UNIFIED), (hierarchies.memory, _LEGACY)
    for hierarchy, controller in pairs:
        if hierarchy is not None:
            for folder in _folders(hierarchy, cgroup):
                found = _bounded(found, folder, controller)
    return found


def _folders(hierarchy: Hierarchy, cgroup: str | None) -> list[str]:
    """Return the folders of our cgroup, of that for runs, and of all above that can be seen."""
    found = _own_folders(hierarchy)
    return found if cgroup in (None, AUTO) else [*found, *hierarchy.path(cgroup)]


def _own_folders(hierarchy: Hierarchy) -> list[str]:
    if not hierarchy.levels_above:
        return hierarchy.path(hierarchy.own)
    between = "/*" * hierarchy.levels_above
    for folder in glob(f"{escape(hierarchy.mount)}{between}{escape(hierarchy.own)}".rstrip("/")):
        if os.getpid() in own_members(folder):
            return hierarchy.path_to(folder)
    return [hierarchy.mount]


def _bounded(found: AvailableMemory, folder: str, controller: _Controller) -> AvailableMemory:
    used = number(folder, controller.usage)
    if used is None:
        return found
    caches = (number(folder, "memory.stat", key) for key in controller.file_cache)
    cache = next((size for size in caches if size is not None), 0)
    for name, key in controller.limits:
        limit = number(folder, name, key)
        if limit is not None:
            found = found.within(limit, used - cache, f"{folder}/{name}")
    return found


def permits_by_memory(costs: PermitCosts, memory: AvailableMemory) -> int:
    """Return how many permits the free memory allows; at least what the dearest run costs."""
    return max(costs.dearest, int(memory.available / (costs.gib_per_permit * (1 << 30))))

"""How the memory controller bounds a cgroup, and what it says about it, in v2 and in v1."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .folder import number, write


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """A cgroup's use of memory: limit and peak in bytes, and processes killed for want of it.

    All that is charged to the cgroup counts: memory, files that it was the first to read, what the
    kernel holds on its behalf. `peak` is None where the kernel does not keep one.
    """

    limit: int
    oom_kills: int
    peak: int | None


@dataclass(frozen=True, slots=True)
class MemoryController:
    """The controller's files: that of the limit, further limits, and what it reports.

    `kills` has a line `oom_kill`.
    """

    name: str
    limit: str
    other_limits: tuple[tuple[str, int | None], ...]
    """Names of files that are set if they are there, each with its value; None: the limit."""

    kills: str
    peak: str

    def bound(self, folder: str, limit: int) -> None:
        """Set the cgroup's limit to `limit` bytes, swapped ones included. Raises `OSError`."""
        write(folder, self.limit, limit)
        for name, value in self.other_limits:
            if os.path.exists(f"{folder}/{name}"):
                write(folder, name, limit if value is None else value)

    def use(self, folder: str, limit: int) -> MemoryUse | None:
        """Return the cgroup's use of memory, or None when it is gone."""
        kills = number(folder, self.kills, b"oom_kill")
        return None if kills is None else MemoryUse(limit, kills, number(folder, self.peak))


UNIFIED = MemoryController(
    name="v2",
    limit="memory.max",
    # By oom.group the kernel ends the run as a whole, or not at all.
    other_limits=(("memory.swap.max", 0), ("memory.oom.group", 1)),
    kills="memory.events",
    peak="memory.peak",
)
LEGACY = MemoryController(
    name="v1",
    limit="memory.limit_in_bytes",
    other_limits=(("memory.memsw.limit_in_bytes", None),),
    kills="memory.oom_control",
    peak="memory.max_usage_in_bytes",
)

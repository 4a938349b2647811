"""How the memory controller bounds a cgroup, and what it says about it, in v2 and in v1."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .folder import number, write


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What became of a cgroup: processes killed for want of memory, and its peak in bytes.

    All that is charged to it counts: memory, files that it was the first to read, what the kernel
    holds on its behalf. `peak` is None where the kernel does not keep one.
    """

    limit: int
    oom_kills: int
    peak: int | None


@dataclass(frozen=True, slots=True)
class MemoryController:
    """Its files: one that takes the limit, others that follow it if they are there, what it tells.

    `kills` has a line `oom_kill`.
    """

    name: str
    limit: str
    followers: tuple[tuple[str, int | None], ...]
    """With what to write into each; None: the limit."""

    kills: str
    peak: str

    def bound(self, folder: str, limit: int) -> None:
        """Let the cgroup have `limit` bytes, swapped ones included. Raises `OSError`."""
        write(folder, self.limit, limit)
        for name, value in self.followers:
            if os.path.exists(f"{folder}/{name}"):
                write(folder, name, limit if value is None else value)

    def use(self, folder: str, limit: int) -> MemoryUse | None:
        """What became of it; None when it is gone."""
        kills = number(folder, self.kills, b"oom_kill")
        return None if kills is None else MemoryUse(limit, kills, number(folder, self.peak))


UNIFIED = MemoryController(
    name="v2",
    limit="memory.max",
    # By oom.group the kernel ends the run as a whole, or not at all.
    followers=(("memory.swap.max", 0), ("memory.oom.group", 1)),
    kills="memory.events",
    peak="memory.peak",
)
LEGACY = MemoryController(
    name="v1",
    limit="memory.limit_in_bytes",
    followers=(("memory.memsw.limit_in_bytes", None),),
    kills="memory.oom_control",
    peak="memory.max_usage_in_bytes",
)

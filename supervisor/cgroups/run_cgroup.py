"""A cgroup for each run: what is in it ends with it, and the kernel bounds its memory."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from genvm_manager.base.process.proc import children_of

from .folder import MEMBERS, is_populated, kill, remove, write
from .memory import MemoryController, MemoryUse

_MOST_LOOKS = 16
_MOST_TAKEN_IN = 4096


@dataclass(frozen=True, slots=True)
class Slice:
    """A cgroup for those of runs, in one hierarchy; `memory` where that one bounds memory."""

    folder: str
    memory: MemoryController | None


class RunCgroup:
    """One run's, in each hierarchy that is used; v2's is the first."""

    def __init__(self, homes: tuple[Slice, ...], run_id: int, limit: int) -> None:
        """Makes it. Raises `OSError`; nothing is left of it then."""
        self._limit = limit
        self._homes = [Slice(f"{home.folder}/{run_id}", home.memory) for home in homes]
        try:
            for home in self._homes:
                os.mkdir(home.folder)
                if home.memory is not None:
                    home.memory.bound(home.folder, limit)
        except OSError:
            self.remove()
            raise

    def attach(self, executor: int) -> None:
        """Move an executor here, and all that descends from it. Raises `OSError`.

        The executor must not be reaped meanwhile. Who has been moved has its children here, so
        looking again finds, in the end, nobody new. What the executor has started before, and
        what then lost its parent, is not found: it is the sweep's, as without cgroups.
        """
        taken: set[int] = set()
        for _ in range(_MOST_LOOKS):
            fresh = [pid for pid in _family(executor) if pid not in taken]
            if not fresh:
                return
            for pid in fresh:
                self._take_in(pid)
            taken.update(fresh)

    def is_populated(self) -> bool:
        """Whether a process lives in it. Cheap."""
        return is_populated(self._homes[0].folder)

    def kill(self) -> None:
        """SIGKILL all that is in it: the same in each hierarchy."""
        kill(self._homes[0].folder)

    def memory_use(self) -> MemoryUse | None:
        """What it made of its memory; None when no hierarchy bounds that. Cheap."""
        for home in self._homes:
            if home.memory is not None:
                return home.memory.use(home.folder, self._limit)
        return None

    def remove(self) -> bool:
        """Remove it; False when a process is still in it."""
        return remove(home.folder for home in self._homes)

    def _take_in(self, pid: int) -> None:
        for home in self._homes:
            with suppress(ProcessLookupError):
                write(home.folder, MEMBERS, pid)


def _family(executor: int) -> list[int]:
    """An executor and what descends from it, parents first."""
    found = [executor]
    for pid in found:
        if len(found) >= _MOST_TAKEN_IN:
            break
        found += children_of(pid)
    return found

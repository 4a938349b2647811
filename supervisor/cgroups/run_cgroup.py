"""One run's cgroup: what is in it ends with the run, and the kernel bounds its memory."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from genvm_manager.base.process.proc import children_of

from .folder import MEMBERS, is_populated, kill, remove, write
from .memory import MemoryController, MemoryUse

_MAX_LOOKS = 16
_MAX_ATTACHED = 4096


@dataclass(frozen=True, slots=True)
class Slice:
    """The cgroup that holds those of runs, in one hierarchy; `memory` where that bounds memory."""

    folder: str
    memory: MemoryController | None


class RunCgroup:
    """One run's cgroup, in each hierarchy that is used; v2's is the first."""

    def __init__(self, slices: tuple[Slice, ...], run_id: int, limit: int) -> None:
        """Make it, with `limit` bytes of memory. Raises `OSError`; nothing is left of it then."""
        self._limit = limit
        self._parts = [Slice(f"{each.folder}/{run_id}", each.memory) for each in slices]
        try:
            for part in self._parts:
                os.mkdir(part.folder)
                if part.memory is not None:
                    part.memory.bound(part.folder, limit)
        except OSError:
            self.remove()
            raise

    def attach(self, executor: int) -> None:
        """Move an executor here, and all that descends from it. Raises `OSError`.

        The executor must not be reaped meanwhile. A process that has been moved has its later
        children here, so repeated looks find nothing new in the end. What the executor has started
        and what then lost its parent is not found: the reaper's sweep ends it, as without cgroups.
        """
        moved: set[int] = set()
        for _ in range(_MAX_LOOKS):
            fresh = [pid for pid in _family(executor) if pid not in moved]
            if not fresh:
                return
            for pid in fresh:
                self._move(pid)
            moved.update(fresh)

    def is_populated(self) -> bool:
        """Return whether a process lives in it. This is cheap."""
        return is_populated(self._parts[0].folder)

    def kill(self) -> None:
        """Send SIGKILL to all that is in it: the same processes are in each hierarchy."""
        kill(self._parts[0].folder)

    def memory_use(self) -> MemoryUse | None:
        """Return its use of memory, or None when no hierarchy bounds that. This is cheap."""
        for part in self._parts:
            if part.memory is not None:
                return part.memory.use(part.folder, self._limit)
        return None

    def remove(self) -> bool:
        """Remove it; return False when a process is still in it."""
        return remove(part.folder for part in self._parts)

    def _move(self, pid: int) -> None:
        for part in self._parts:
            with suppress(ProcessLookupError):
                write(part.folder, MEMBERS, pid)


def _family(executor: int) -> list[int]:
    """Return an executor and its descendants, parents first, but not more than can be moved."""
    found = [executor]
    for pid in found:
        if len(found) >= _MAX_ATTACHED:
            break
        found += children_of(pid)
    return found

"""What a killed supervisor has left in its cgroups, and the record by which that is found.

A file in the state folder names the slices: the cgroup, one in each hierarchy that is used, below
which each run has its own. A slice's name tells which supervisor made it, since a state folder may
have been copied. The shim imports this file, so it has to stay small.
"""

from __future__ import annotations

import os
from contextlib import suppress

from genvm_manager.base.files.own_file import open_own
from genvm_manager.base.process.identity import ProcessIdentity, contents, start_ticks
from genvm_manager.base.process.killing import kill_until_gone

from .folder import is_populated, kill, members, remove

_RECORD = "cgroups"
_PREFIX = "runs."


def slice_name() -> str:
    """Return the name for the slices of this supervisor, which holds its pid and start time."""
    pid = os.getpid()
    return f"{_PREFIX}{pid}.{start_ticks(pid)}"


def record_slices(state_folder: str, slices: list[str]) -> None:
    """Put on record which slices must be cleared if we are killed. Raises `OSError`."""
    with open(open_own(f"{state_folder}/{_RECORD}", os.O_WRONLY | os.O_TRUNC), "w") as record:
        record.writelines(f"{folder}\n" for folder in slices)


def are_recorded(state_folder: str, slices: list[str]) -> bool:
    """Return whether the record names these slices."""
    return os.fsdecode(contents(f"{state_folder}/{_RECORD}", 64 << 10)).splitlines() == slices


def forget_slices(state_folder: str) -> None:
    """Remove the record: nothing has to be cleared any more."""
    with suppress(OSError):
        os.unlink(f"{state_folder}/{_RECORD}")


class Leftovers:
    """The slices of the last supervisor on a state folder; none when it stopped as it should."""

    def __init__(self, state_folder: str | None) -> None:
        self._state_folder = state_folder
        record = contents(f"{state_folder}/{_RECORD}", 64 << 10) if state_folder else b""
        self._slices = [line for line in os.fsdecode(record).splitlines() if _is_left_over(line)]

    def kill(self) -> list[int]:
        """Send SIGKILL once to all that lives in the slices, and return the pids of that."""
        found = {pid for folder in self._slices for pid in members(folder)}
        for folder in self._slices:
            kill(folder)
        return sorted(found)

    def end(self, timeout: float) -> list[int]:
        """Kill until nothing is left, for `timeout` seconds at most, and `forget`.

        Return the pids of all that was killed.
        """
        killed: set[int] = set()

        def kill_the_rest() -> bool:
            killed.update(self.kill())
            return any(map(is_populated, self._slices))

        kill_until_gone(kill_the_rest, timeout)
        self.forget()
        return sorted(killed)

    def forget(self) -> None:
        """Remove the slices and their record, unless something still lives there."""
        if remove(self._slices) and self._state_folder is not None:
            forget_slices(self._state_folder)


def _is_left_over(folder: str) -> bool:
    """Return whether a line of the record names a slice whose supervisor is gone."""
    name = os.path.basename(folder)
    pid, _, ticks = name.removeprefix(_PREFIX).partition(".")
    if not name.startswith(_PREFIX) or not (pid.isdigit() and ticks.isdigit()):
        return False
    return os.path.exists(folder) and not ProcessIdentity(int(pid), int(ticks)).is_alive()

"""What is left in the cgroups of a supervisor that was killed. The shim imports this: see there.

A note in the state folder names the cgroup, one in each hierarchy that is used, below which each
run has its own. Its name tells whose it is: a state folder may have been copied.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from genvm_manager.base.files.own_file import open_own
from genvm_manager.base.process.identity import contents, lives, start_ticks

from .folder import is_populated, kill, members, remove

_NOTE = "cgroups"
_PREFIX = "runs."
_PAUSE = 0.01


def home_name() -> str:
    """For the cgroup that is to hold those of this supervisor's runs."""
    pid = os.getpid()
    return f"{_PREFIX}{pid}.{start_ticks(pid)}"


def note_homes(state_folder: str, homes: list[str]) -> None:
    """Put on record what must be ended if we are killed. Raises `OSError`."""
    with open(open_own(f"{state_folder}/{_NOTE}", os.O_WRONLY | os.O_TRUNC), "w") as note:
        note.writelines(f"{home}\n" for home in homes)


def is_noted(state_folder: str, homes: list[str]) -> bool:
    """Whether that record is there."""
    return os.fsdecode(contents(f"{state_folder}/{_NOTE}", 64 << 10)).splitlines() == homes


def forget_homes(state_folder: str) -> None:
    """Nothing has to be ended any more."""
    with suppress(OSError):
        os.unlink(f"{state_folder}/{_NOTE}")


class Leftovers:
    """Of the last supervisor on a state folder; nothing when it stopped as it should."""

    def __init__(self, state_folder: str | None) -> None:
        self._state_folder = state_folder
        note = contents(f"{state_folder}/{_NOTE}", 64 << 10) if state_folder else b""
        self._homes = [line for line in os.fsdecode(note).splitlines() if _is_orphaned(line)]

    def kill(self) -> list[int]:
        """SIGKILL what still lives in them, once; its pids."""
        found = {pid for home in self._homes for pid in members(home)}
        for home in self._homes:
            kill(home)
        return sorted(found)

    def end(self, timeout: float) -> list[int]:
        """Kill until nothing is left, for so many seconds at most, and `forget`; whom it killed."""
        deadline = time.monotonic() + timeout
        killed = set(self.kill())
        while any(map(is_populated, self._homes)) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            killed.update(self.kill())
        self.forget()
        return sorted(killed)

    def forget(self) -> None:
        """Remove them and the note, unless something still lives there."""
        if remove(self._homes) and self._state_folder is not None:
            forget_homes(self._state_folder)


def _is_orphaned(home: str) -> bool:
    """Whether a line of the note names such a cgroup, and its supervisor is gone."""
    name = os.path.basename(home)
    pid, _, ticks = name.removeprefix(_PREFIX).partition(".")
    if not name.startswith(_PREFIX) or not (pid.isdigit() and ticks.isdigit()):
        return False
    return os.path.exists(home) and not lives(int(pid), int(ticks))

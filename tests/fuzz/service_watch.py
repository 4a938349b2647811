"""Long-lived processes under fuzzing: what they take, and whether they are still well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil

_TOLD_OF_FAULTS = ("Traceback", "internal error", "audit_violation", "command_failed")


class ProcessUse:
    """Processor time and memory of some processes, since it was made or `restart`."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._seconds, self._memory = self._now()

    def taken(self) -> tuple[float, int]:
        """Seconds, and bytes by which they have grown."""
        seconds, memory = self._now()
        return seconds - self._seconds, max(0, memory - self._memory)

    def _now(self) -> tuple[float, int]:
        seconds, memory = 0.0, 0
        for process in self._processes:
            with suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system
                memory += process.memory_info().rss
        return seconds, memory


class LogWatch:
    """The part of a log that came since the last look."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._seen = len(read())

    def faults(self) -> list[str]:
        """Return a sentence for each new line that tells of a fault of ours."""
        content = self._read()
        new, self._seen = content[self._seen :], len(content)
        lines = new.splitlines()
        return [
            f"the log says: {' | '.join([line, *_end_of_traceback(lines, index)])}"
            for index, line in enumerate(lines)
            if any(word in line for word in _TOLD_OF_FAULTS)
        ][:3]


def _end_of_traceback(lines: list[str], start: int) -> list[str]:
    """Return the line that names the exception, and the one before it."""
    for index in range(start + 1, min(start + 80, len(lines))):
        if not lines[index].startswith((" ", "Traceback")):
            return lines[index - 1 : index + 1]
    return []

"""What a piece of work takes of the processor and of memory, in this process."""

from __future__ import annotations

import re
import resource
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = "5"


class Measure:
    """Begins when it is made. Children that have ended meanwhile count as well."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text(_FORGET_PEAK)
        self._memory = _status("VmRSS")
        self._children = _children_seconds()
        self._own = time.process_time()

    def seconds(self) -> float:
        """Return the processor time since then."""
        return time.process_time() - self._own + _children_seconds() - self._children

    def memory(self) -> int:
        """Return by how many bytes the process was larger than at the beginning, at most."""
        return max(0, _status("VmHWM") - self._memory)


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) << 10 if found else 0


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

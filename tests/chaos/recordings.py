"""What the executors themselves have recorded (tests/children/recorder.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process, identified by its pid and its start time in clock ticks since boot."""

    pid: int
    ticks: int

    def lives(self) -> bool:
        """Return whether it exists and is not a zombie."""
        found = _stat(self.pid)
        return found is not None and found[1] == self.ticks and found[0] not in "ZX"


def process(pid: int) -> Process | None:
    """Return the process that has this pid now, or None."""
    found = _stat(pid)
    return None if found is None else Process(pid, found[1])


class ResultDigest(NamedTuple):
    """A result, identified by its length and CRC-32."""

    length: int
    crc: int


@dataclass(frozen=True, slots=True)
class Recording:
    """What the executors of one run id have recorded.

    `names`: the name in the orders, once for each start. `instances`: the instance names of the
    service's store. `leaders`: the executors; `others`: the processes that they forked. `sent` and
    `answered`: the results that were sent, and those that were acknowledged.
    """

    names: tuple[str, ...] = ()
    instances: frozenset[str] = frozenset()
    leaders: tuple[Process, ...] = ()
    others: tuple[Process, ...] = ()
    sent: tuple[ResultDigest, ...] = ()
    answered: tuple[ResultDigest, ...] = ()

    @property
    def processes(self) -> tuple[Process, ...]:
        """All processes of the run."""
        return self.leaders + self.others


class Recordings:
    """The folder that the executors write their recordings to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, run_id: int) -> Recording:
        """Return what the run has recorded so far; an empty recording if it never started."""
        try:
            return _parsed((self.folder / str(run_id)).read_text())
        except FileNotFoundError:
            return Recording()

    def all(self) -> dict[int, Recording]:
        """Return all recordings by run id."""
        return {int(path.name): _parsed(path.read_text()) for path in self.folder.iterdir()}


def _parsed(text: str) -> Recording:
    events: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        event, *fields = line.split()
        events.setdefault(event, []).append(fields)
    begun = events.get("begun", [])
    return Recording(
        names=tuple(fields[0] for fields in begun),
        instances=frozenset(fields[1] for fields in begun),
        leaders=tuple(Process(int(fields[2]), int(fields[3])) for fields in begun),
        others=tuple(Process(*map(int, fields)) for fields in events.get("forked", [])),
        sent=tuple(ResultDigest(*map(int, fields)) for fields in events.get("sends", [])),
        answered=tuple(ResultDigest(*map(int, fields)) for fields in events.get("answered", [])),
    )


def _stat(pid: int) -> tuple[str, int] | None:
    """Return the state and the start time of a process, or None."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[19])

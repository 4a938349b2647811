"""What the executors themselves have told (tests/children/witness.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process by pid and by when it was created, in clock ticks since boot."""

    pid: int
    ticks: int

    def lives(self) -> bool:
        """Whether it is there, and more than a zombie."""
        found = _stat(self.pid)
        return found is not None and found[1] == self.ticks and found[0] not in "ZX"


def process(pid: int) -> Process | None:
    """The process that has this pid now."""
    found = _stat(pid)
    return None if found is None else Process(pid, found[1])


class Content(NamedTuple):
    """A result, by its length and CRC-32."""

    length: int
    crc: int


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of one run id. `names`: of the orders that it began with, each time it did.

    `leaders`: the executors; `others`: what they forked. `instances`: of the service's store.
    `sent` and `answered`: the results that were handed in, and those whose answer came.
    """

    names: tuple[str, ...] = ()
    instances: frozenset[str] = frozenset()
    leaders: tuple[Process, ...] = ()
    others: tuple[Process, ...] = ()
    sent: tuple[Content, ...] = ()
    answered: tuple[Content, ...] = ()

    @property
    def processes(self) -> tuple[Process, ...]:
        return self.leaders + self.others


class Witnesses:
    """The folder that the executors write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, run_id: int) -> Account:
        """What is told by now; nothing for a run that never began."""
        try:
            return _parsed((self.folder / str(run_id)).read_text())
        except FileNotFoundError:
            return Account()

    def all(self) -> dict[int, Account]:
        """By run id."""
        return {int(path.name): _parsed(path.read_text()) for path in self.folder.iterdir()}


def _parsed(text: str) -> Account:
    said: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        word, *rest = line.split()
        said.setdefault(word, []).append(rest)
    begun = said.get("begun", [])
    return Account(
        names=tuple(words[0] for words in begun),
        instances=frozenset(words[1] for words in begun),
        leaders=tuple(Process(int(words[2]), int(words[3])) for words in begun),
        others=tuple(Process(*map(int, words)) for words in said.get("forked", [])),
        sent=tuple(Content(*map(int, words)) for words in said.get("sends", [])),
        answered=tuple(Content(*map(int, words)) for words in said.get("answered", [])),
    )


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[19])

"""An idle moment: what the service has when no run is under way. Nothing of it may grow."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from genvm_manager.base.files.state_folder import run_scratch, supervisor_socket
from genvm_manager.base.process.proc import children_of
from genvm_manager.manager.api.supervisor_client import MAX_IDLE

from .service import HTTP_WORKERS, House, Role, ServiceUnderTest
from .verdict import Violation

MOST_GROWTH = 50 << 20
"""Bytes by which a supervisor may be larger than the first one was at its first idle moment."""

_MOST_CLIENTS = HTTP_WORKERS * (MAX_IDLE + 2) + 4
"""Connections that an idle supervisor may have: pools of the workers, and those who watch it."""

_OWN_CONNECTION = Counter({"socket:[N]": 1})
"""`serve` follows the supervisor's log level, and needs a moment to connect to the next one."""

_LOOKED_AT = (Role.SERVE, Role.GUARD, Role.SUPERVISOR)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Open:
    """What a process has open: by kind, but for `clients`, connections to the supervisor."""

    kinds: Counter[str]
    clients: int


@dataclass(frozen=True, slots=True)
class IdleMoment:
    """`opened`: by `serve`, the shim and the supervisor. `memory`: the supervisor's, in bytes.
    `left`: what should not be there any more, in sentences."""

    opened: Mapping[psutil.Process, Open]
    roles: Mapping[psutil.Process, Role]
    supervisor: psutil.Process
    memory: int
    left: tuple[str, ...]

    @classmethod
    def of(cls, service: ServiceUnderTest) -> IdleMoment:
        """The present one."""
        house = service.whole()
        path = str(supervisor_socket(service.state))
        supervisor = house.one(Role.SUPERVISOR)
        roles = {house.one(role): role for role in _LOOKED_AT}
        return cls(
            {process: _opened(process, path) for process in roles},
            roles,
            supervisor,
            supervisor.memory_info().rss,
            tuple(_left(house, service.state)),
        )

    @property
    def supervisor_opened(self) -> Open:
        return self.opened[self.supervisor]

    def growth(self, first: Mapping[psutil.Process, Open]) -> Iterator[Violation]:
        """What a process has open beyond what it had at its `first` idle moment."""
        for process, now in self.opened.items():
            before = first.get(process, now).kinds
            if more := now.kinds - before - _OWN_CONNECTION:
                role = self.roles[process].value
                sentence = f"{role}: {dict(more)} more; at first {dict(before)}"
                yield Violation("descriptors do not grow", sentence)
        if (clients := self.supervisor_opened.clients) > _MOST_CLIENTS:
            sentence = f"the supervisor has {clients} clients while nothing goes on"
            yield Violation("descriptors do not grow", sentence)

    def excess(self, first: IdleMoment) -> Iterator[Violation]:
        """Whether the supervisor has become too large."""
        if self.memory > first.memory + MOST_GROWTH:
            sentence = f"the supervisor has {self.memory >> 20} MB, the first {first.memory >> 20}"
            yield Violation("memory is flat", sentence)


def _opened(process: psutil.Process, supervisor: str) -> Open:
    clients = _sockets_named(supervisor)
    kinds: Counter[str] = Counter()
    count = 0
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            target = os.readlink(entry)
            if target in clients:
                count += 1
            else:
                kinds[_NUMBER.sub("N", target)] += 1
    return Open(kinds, count)


def _sockets_named(path: str) -> set[str]:
    """The sockets that listen at a path and those that were accepted there."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return {f"socket:[{line.split()[6]}]" for line in lines if line.endswith(f" {path}")}


def _left(house: House, state: Path) -> Iterator[str]:
    own = {process.pid for process in house.all}
    for role, members in house.members.items():
        for process in members:
            if more := set(children_of(process.pid)) - own:
                yield f"{role.value} has the children {sorted(more)} while nothing goes on"
    if executors := house.members[Role.EXECUTOR]:
        yield f"the supervisor has the children {executors} while nothing goes on"
    if files := [str(path) for path in run_scratch(state).glob("*/*")]:
        yield f"temporary files of no run: {files[:5]}"

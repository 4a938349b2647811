"""An idle moment: which resources the service has when no run is under way. None may grow."""

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

from .run_rules import Violation
from .service import HTTP_WORKERS, ProcessesByRole, Role, ServiceUnderTest

MOST_GROWTH = 50 << 20
"""Bytes by which a supervisor may exceed the first one at its first idle moment."""

_MOST_CLIENTS = HTTP_WORKERS * (MAX_IDLE + 2) + 4
"""Connections that an idle supervisor may have: the workers' pools and their status watchers."""

_LOOKED_AT = (Role.SERVE, Role.SHIM, Role.SUPERVISOR)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Open:
    """The open descriptors of a process by kind, and apart from them `clients`.

    `clients` counts the connections to the supervisor.
    """

    kinds: Counter[str]
    clients: int


@dataclass(frozen=True, slots=True)
class IdleMoment:
    """The resources of the service at an idle moment.

    `opened`: descriptors of `serve`, the shim and the supervisor. `memory`: the supervisor's, in
    bytes. `left`: what should not be there any more, as sentences.
    """

    opened: Mapping[psutil.Process, Open]
    roles: Mapping[psutil.Process, Role]
    supervisor: psutil.Process
    memory: int
    left: tuple[str, ...]

    @classmethod
    def of(cls, service: ServiceUnderTest) -> IdleMoment:
        """Return the present state of a service, once it is healthy."""
        processes = service.wait_until_healthy()
        path = str(supervisor_socket(service.state))
        supervisor = processes.one(Role.SUPERVISOR)
        roles = {processes.one(role): role for role in _LOOKED_AT}
        return cls(
            {process: _opened(process, path) for process in roles},
            roles,
            supervisor,
            supervisor.memory_info().rss,
            tuple(_left(processes, service.state)),
        )

    @property
    def supervisor_opened(self) -> Open:
        """The supervisor's open descriptors."""
        return self.opened[self.supervisor]

    def growth(self, first: Mapping[psutil.Process, Open]) -> Iterator[Violation]:
        """Yield the descriptors that a process has beyond those of its `first` idle moment."""
        for process, now in self.opened.items():
            before = first.get(process, now).kinds
            if more := now.kinds - before:
                role = self.roles[process].value
                detail = f"{role}: {dict(more)} more; at first {dict(before)}"
                yield Violation("descriptors do not grow", detail)
        if (clients := self.supervisor_opened.clients) > _MOST_CLIENTS:
            detail = f"the supervisor has {clients} clients while no run is under way"
            yield Violation("descriptors do not grow", detail)

    def excess(self, first: IdleMoment) -> Iterator[Violation]:
        """Yield a violation if the supervisor uses too much memory."""
        if self.memory > first.memory + MOST_GROWTH:
            detail = f"the supervisor has {self.memory >> 20} MB, the first {first.memory >> 20}"
            yield Violation("memory is flat", detail)


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
    """Return the sockets that listen at a path and those that were accepted there."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return {f"socket:[{line.split()[6]}]" for line in lines if line.endswith(f" {path}")}


def _left(processes: ProcessesByRole, state: Path) -> Iterator[str]:
    own = {process.pid for process in processes.all}
    for role, members in processes.members.items():
        for process in members:
            if more := set(children_of(process.pid)) - own:
                yield f"{role.value} has the children {sorted(more)} while no run is under way"
    if executors := processes.members[Role.EXECUTOR]:
        yield f"the supervisor has the children {executors} while no run is under way"
    if files := [str(path) for path in run_scratch(state).glob("*/*")]:
        yield f"temporary files of no run: {files[:5]}"

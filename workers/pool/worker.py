"""One worker of a pool, from its start to its end: whether it answers, and how busy it is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from enum import StrEnum

from genvm_manager.base.errors import ManagerError, RequestFailed
from genvm_manager.base.logging.lines import Level
from genvm_manager.workers.control.messages import (
    HEARTBEAT,
    Connect,
    Drain,
    Failed,
    FromWorker,
    Load,
    Open,
    Ready,
    SetLevel,
)
from genvm_manager.workers.worker.identity import Identity

from .process import WorkerProcess

START_TIMEOUT = 60.0
"""Seconds in which a worker must answer requests."""

SILENT_BEATS = 12
"""So many `HEARTBEAT`s without a word from a worker, and it hangs: it is ended."""


class WorkerState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    ENDED = "ended"


ALLOWED: dict[WorkerState, frozenset[WorkerState]] = {
    WorkerState.STARTING: frozenset({WorkerState.READY, WorkerState.STOPPING, WorkerState.ENDED}),
    WorkerState.READY: frozenset({WorkerState.STOPPING, WorkerState.ENDED}),
    WorkerState.STOPPING: frozenset({WorkerState.ENDED}),
    WorkerState.ENDED: frozenset(),
}


class IllegalTransition(Exception):
    """A move that the table does not know: a mistake in this program."""


class Worker:
    """`settled`: it is ready, or has ended. `gone`: nothing is left of it either.

    `error` says why it ended by itself, `shortage` what its module lacks. `changed` is called when
    its state or its load changes.
    """

    def __init__(
        self,
        identity: Identity,
        order: Open,
        listening: list[socket.socket],
        changed: Callable[[], None],
    ) -> None:
        """`order` is what it is told first; copies of the `listening` sockets go along.

        Raises `OSError` when no process can be started.
        """
        self._loop = asyncio.get_running_loop()
        self._name = identity.name
        self._changed = changed
        self._given = 0
        self._load = Load(sessions=0, taken=0)
        self._silent_beats = 0
        self.state = WorkerState.STARTING
        self.error: ManagerError | None = None
        self.shortage: str | None = None
        self.settled = asyncio.Event()
        self._process = WorkerProcess(identity, self._receive, self._ended)
        self.pid = self._process.pid
        self.gone = self._process.gone
        self._process.send(order, [each.dup().detach() for each in listening])
        self._late = self._loop.call_later(START_TIMEOUT, self._is_late)
        self._beat = self._loop.call_later(HEARTBEAT, self._count_beat)

    @property
    def sessions(self) -> int:
        """Connections that it serves, or will once it has taken in those given to it."""
        return self._load.sessions + self._given - self._load.taken

    def give(self, connection: socket.socket) -> None:
        """Hand an executor's connection over."""
        self._given += 1
        self._process.send(Connect(), [connection.detach()])

    def set_level(self, level: Level) -> None:
        """Have it log at another level."""
        self._process.send(SetLevel(level))

    def drain(self) -> None:
        """Have it take no more from its listening sockets."""
        self._process.send(Drain())

    def stop(self, timeout: float) -> None:
        """Have it end, by the ladder; legal at any time, and again."""
        if self.state is WorkerState.ENDED:
            return
        if self.state is not WorkerState.STOPPING:
            self._advance(WorkerState.STOPPING)
        self._process.stop(timeout)

    def _receive(self, message: FromWorker) -> None:
        self._silent_beats = 0
        if isinstance(message, Load):
            self._load = message
            self._changed()
        elif isinstance(message, Failed):
            self.error = message.error()
        elif isinstance(message, Ready) and self.state is WorkerState.STARTING:
            self._late.cancel()
            self.shortage = message.shortage
            self._advance(WorkerState.READY)

    def _ended(self, how: str) -> None:
        self._late.cancel()
        self._beat.cancel()
        if self.error is None:
            self.error = RequestFailed(f"a worker of the {self._name} module {how}")
        self._given, self._load = 0, Load(sessions=0, taken=0)
        self._advance(WorkerState.ENDED)

    def _is_late(self) -> None:
        self.error = RequestFailed(
            f"a worker of the {self._name} module was not ready within {START_TIMEOUT:.0f} s"
        )
        self._process.kill()

    def _count_beat(self) -> None:
        """Beats are counted, not timed: were we suspended ourselves, it is no fault of theirs."""
        self._silent_beats += 1
        if self.state is WorkerState.READY and self._silent_beats > SILENT_BEATS:
            silence = SILENT_BEATS * HEARTBEAT
            self.error = RequestFailed(
                f"a worker of the {self._name} module said nothing for {silence:.0f} s"
            )
            self._process.kill()
        else:
            self._beat = self._loop.call_later(HEARTBEAT, self._count_beat)

    def _advance(self, to: WorkerState) -> None:
        if to not in ALLOWED[self.state]:
            raise IllegalTransition(f"worker {self.pid} cannot go from {self.state} to {to}")
        self.state = to
        if to in (WorkerState.READY, WorkerState.ENDED):
            self.settled.set()
        self._changed()

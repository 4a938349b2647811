"""One worker process, from its start to its end: whether it answers, how busy it is, its stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import multiprocess  # type: ignore[import-untyped]
from multiprocess.process import _children as _to_be_reaped  # type: ignore[import-untyped]

from genvm_manager.base.errors import ManagerError, RequestFailed
from genvm_manager.base.process.children import open_child_pidfd
from genvm_manager.base.process.killing import KILL_TIMEOUT, ProcessGroup, signal_group
from genvm_manager.base.process.on_event_loop import begin_stop, kill_until_gone, wait_for_end
from genvm_manager.base.process.stop_sequence import stop_sequence
from genvm_manager.base.transitions import advanced
from genvm_manager.protocol.ipc.runs import Exit
from genvm_manager.protocol.llm_check import CheckRow
from genvm_manager.protocol.run_end import describe_exit
from genvm_manager.workers.control.channel import Channel
from genvm_manager.workers.control.messages import (
    HEARTBEAT,
    Check,
    Checked,
    Connect,
    Drain,
    Failed,
    FromWorker,
    Load,
    Open,
    Ready,
    Stop,
    decode_from_worker,
)
from genvm_manager.workers.worker.entry import enter
from genvm_manager.workers.worker.identity import Identity

START_TIMEOUT = 60.0
"""Seconds in which a worker must answer requests."""

SILENT_BEATS = 12
"""A worker that was not heard for so many `HEARTBEAT`s hangs: it is killed."""

# Our process has threads, which a forked child would miss: a worker starts from nothing.
_spawning = multiprocess.get_context("spawn")


class WorkerState(StrEnum):
    """Where a worker process is in its life."""

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


class WorkerProcess:
    """A process that opens a module and serves connections, or that checks LLM providers once.

    `settled` is set once it is ready or has ended, `gone` once nothing is left of it, nor of what
    it had started: it leads a process group in our session, which is ended with it. `error` says
    why it ended by itself, `shortage` what its module lacks, `rows` what a check has found.
    """

    def __init__(
        self,
        identity: Identity,
        order: Open | Check,
        *,
        listening: Sequence[socket.socket] = (),
        changed: Callable[[], None] = lambda: None,
        timeout: float | None = None,
    ) -> None:
        """Start it and give it its `order`. Raises `OSError` when no process can be started.

        Copies of the `listening` sockets go along. `changed` is called when its state or its load
        changes. It is killed unless it is ready within `timeout` seconds, by default
        `START_TIMEOUT`.
        """
        self._title = _title(identity, order)
        self._changed = changed
        self._timeout = START_TIMEOUT if timeout is None else timeout
        self._given = 0
        self._load = Load(sessions=0, taken=0)
        self._silent_beats = 0
        self._stop_timers: list[asyncio.TimerHandle] = []
        self.state = WorkerState.STARTING
        self.error: ManagerError | None = None
        self.shortage: str | None = None
        self.rows: list[CheckRow] | None = None
        self.settled = asyncio.Event()
        self.gone = asyncio.Event()
        self._process, pidfd, control = _start(identity)
        self.pid: int = self._process.pid
        self._pidfd: int | None = pidfd
        self._channel: Channel[FromWorker] = Channel(
            control, decode_from_worker, self._receive, self.kill
        )
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(self._timeout, self._kill_late)
        self._beat = loop.call_later(HEARTBEAT, self._count_beat)
        self._watching = loop.create_task(self._watch(), name=f"worker {self.pid}")
        try:
            self._channel.send(order, [each.dup().detach() for each in listening])
        except BaseException:
            self.kill()
            raise

    @property
    def sessions(self) -> int:
        """Connections that it serves, or will once it has received those given to it."""
        return self._load.sessions + self._given - self._load.taken

    # ------------------------------------------------------------------------------- orders

    def give(self, connection: socket.socket) -> None:
        """Hand an executor's connection over; it is closed here."""
        self._given += 1
        self._channel.send(Connect(), [connection.detach()])

    def drain(self) -> None:
        """Have it accept no more connections from its listening sockets."""
        self._channel.send(Drain())

    def stop(self, timeout: float) -> None:
        """Ask it to end; SIGTERM after `timeout` seconds, and SIGKILL after as many again.

        With a timeout of 0 it gets SIGKILL now. Legal at any time; a second stop can only shorten
        the first.
        """
        if self.state is WorkerState.ENDED:
            return
        if self.state is not WorkerState.STOPPING:
            self._advance(WorkerState.STOPPING)
        if timeout > 0:
            self._channel.send(Stop())
            self._stop_timers += begin_stop(stop_sequence(timeout, after=timeout), self._signal)
        else:
            self.kill()

    def kill(self) -> None:
        """End it at once; legal at any time."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, number)

    # ----------------------------------------------------------------------------- messages

    def _receive(self, message: FromWorker, _: list[socket.socket]) -> None:
        self._silent_beats = 0
        match message:
            case Load():
                self._load = message
                self._changed()
            case Failed():
                self.error = message.error()
            case Ready() if self.state is WorkerState.STARTING:
                self.shortage = message.shortage
                self._settle()
            case Checked() if self.state is WorkerState.STARTING:
                self.rows = message.rows
                self._settle()

    def _settle(self) -> None:
        self._late.cancel()
        self._advance(WorkerState.READY)

    def _kill_late(self) -> None:
        self.error = RequestFailed(f"{self._title} was not ready within {self._timeout:.0f} s")
        self.kill()

    def _count_beat(self) -> None:
        """Count a heartbeat's time; kill a worker that has said nothing for too many of them.

        They are counted and not timed: when this process was suspended, the worker is not at fault
        for a silence.
        """
        self._silent_beats += 1
        if self.state is WorkerState.READY and self._silent_beats > SILENT_BEATS:
            silence = SILENT_BEATS * HEARTBEAT
            self.error = RequestFailed(f"{self._title} said nothing for {silence:.0f} s")
            self.kill()
        else:
            self._beat = asyncio.get_running_loop().call_later(HEARTBEAT, self._count_beat)

    # ---------------------------------------------------------------------------------- end

    async def _watch(self) -> None:
        """Wait for the end, and leave nothing of the process and its group."""
        assert self._pidfd is not None
        await wait_for_end(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = None
        for timer in (self._late, self._beat, *self._stop_timers):
            timer.cancel()
        self._channel.drain()
        self._channel.close()
        # The zombie still holds its group's number: no other group can be killed.
        group = ProcessGroup(self.pid)
        signal_group(self.pid, signal.SIGKILL)
        exit_code = self._process.exitcode
        self._process.close()
        self._end(exit_code)

        async def kill() -> bool:
            return group.kill()

        await kill_until_gone(kill, KILL_TIMEOUT)
        self.gone.set()

    def _end(self, exit_code: int | None) -> None:
        if self.error is None:
            end = Exit() if exit_code is None else Exit.of_returncode(exit_code)
            self.error = RequestFailed(f"{self._title} {describe_exit(end)}")
        self._given, self._load = 0, Load(sessions=0, taken=0)
        self._advance(WorkerState.ENDED)

    def _advance(self, to: WorkerState) -> None:
        self.state = advanced(f"worker {self.pid}", ALLOWED, self.state, to)
        if to in (WorkerState.READY, WorkerState.ENDED):
            self.settled.set()
        self._changed()


def _start(identity: Identity) -> tuple[Any, int, socket.socket]:
    """Start a process; return it, a pidfd of it and our end of its control connection.

    Raises `OSError`; no process is left then.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = _spawning.Process(target=enter, args=(theirs, identity), daemon=True)
            process.start()
        # Remove it from multiprocess's table: the next start() would reap it, and its pid could be
        # reused while we hold it.
        _to_be_reaped.discard(process)
        return process, open_child_pidfd(process.pid), ours
    except BaseException:
        ours.close()
        raise


def _title(identity: Identity, order: Open | Check) -> str:
    """Return how messages call the process."""
    if isinstance(order, Check):
        return "the process that asks the providers"
    return f"a worker of the {identity.name} module"

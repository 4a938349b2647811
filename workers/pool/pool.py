"""The workers of one module: started together, given connections, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from genvm_manager.base.process.backoff import Backoff
from genvm_manager.base.process.killing import KILL_TIMEOUT
from genvm_manager.workers.control.messages import Logging, Open
from genvm_manager.workers.worker.identity import Identity

from .listener import Listener
from .worker_process import WorkerProcess
from .worker_supervisor import Events, WorkerSupervisor

HANDOVER_TIMEOUT = 10.0
"""Seconds that a connection may wait for a worker to be ready; it is closed then."""

STOP_TIMEOUT = 3.0
"""Seconds for each step of the stop of a pool that serves nobody any more."""

GONE_TIMEOUT = 2 * KILL_TIMEOUT
"""Seconds after SIGKILL in which a worker and all that it has started must be gone."""

MAX_PENDING = 1_000
"""Connections that may wait for a worker; further ones are closed at once."""


@dataclass(frozen=True, slots=True)
class PoolOrder:
    """What a pool is started with.

    `module` is the dotted name of what has `open_module`, `config` a JSON object. All workers
    accept connections from the sockets of `listener`. For `unset_variables` see
    `genvm_manager.workers.worker.module.ModuleOptions`.
    """

    identity: Identity
    module: str
    config: bytes
    workers: int
    allow_empty_backends: bool
    user_error: bool
    logging: Logging
    listener: Listener | None = None
    unset_variables: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Show no configuration: there are keys in it."""
        return f"<PoolOrder of {self.workers} workers for {self.module}>"


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker as others see it; `pid` is None while it is not running."""

    pid: int | None
    sessions: int


class Pool:
    """A number of workers, each with its restart loop, and the connections that wait for one."""

    def __init__(
        self,
        order: PoolOrder,
        log: Events,
        failed: Callable[[Pool, str], None],
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare the workers; `start` starts them.

        `failed` is called with the pool and the reason when its last worker was given up.
        """
        self.listener = order.listener
        self._order = order
        self._log = log
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._next_order = Open(
            module=order.module,
            config=order.config,
            allow_empty_backends=order.allow_empty_backends,
            user_error=order.user_error,
            logging=order.logging,
            tells_of_config=True,
            descriptors=len(order.listener.sockets) if order.listener else 0,
            unset_variables=dict(order.unset_variables),
        )
        self._supervisors = [
            WorkerSupervisor(order.identity.name, self._make, backoff or Backoff(), log)
            for _ in range(order.workers)
        ]
        self._restart_loops: list[asyncio.Task[None]] = []
        self._pending: deque[_PendingConnection] = deque()
        self._changed = asyncio.Event()
        self._is_hurried = False
        self._is_ending = False
        self.shortage: str | None = None
        """What the module lacks, as `genvm_manager.workers.worker.module.Module` says; known once
        the pool has started."""

    @property
    def workers(self) -> list[WorkerView]:
        """All workers, always in the same order."""
        return [_view(each.living) for each in self._supervisors]

    @property
    def sessions(self) -> int:
        """How many connections workers have, or will get."""
        return sum(view.sessions for view in self.workers) + len(self._pending)

    async def start(self) -> None:
        """Start all workers, and return when each of them answers requests.

        Raises the `ManagerError` of the first that does not. No worker is left then, nor when this
        is cancelled.
        """
        starting = [asyncio.ensure_future(each.start()) for each in self._supervisors]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            for start in starting:
                start.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
            await self.stop(0)
            raise
        self.shortage = next((worker.shortage for worker in self._living()), None)
        for each in self._supervisors:
            restart_loop = self._loop.create_task(each.keep_running())
            restart_loop.add_done_callback(lambda _: self._report_given_up())
            self._restart_loops.append(restart_loop)

    def connect(self) -> socket.socket:
        """Return a new connection to the least busy worker, which the caller has to close.

        While no worker is ready it waits for one, and it is closed at the other end after
        `HANDOVER_TIMEOUT` seconds. Raises `OSError` when there are no descriptors.
        """
        ours, theirs = socket.socketpair()
        pending = _PendingConnection(theirs)
        self._pending.append(pending)
        self._hand_over()
        if pending in self._pending:
            if self._is_ending or len(self._pending) > MAX_PENDING:
                self._close_pending(pending)
            else:
                pending.timer = self._loop.call_later(
                    HANDOVER_TIMEOUT, self._close_pending, pending
                )
        return ours

    async def drain(self, timeout: float) -> None:
        """Start no more workers, and wait up to `timeout` seconds for the last connection's end.

        `hurry` ends the wait.
        """
        self._end_restart_loops()
        for worker in self._living():
            worker.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.sessions and not self._is_hurried:
                    self._changed.clear()
                    await self._changed.wait()

    def hurry(self) -> None:
        """Have `drain` wait for connections no longer."""
        self._is_hurried = True
        self._changed.set()

    async def stop(self, timeout: float) -> None:
        """End all workers: ask, SIGTERM after `timeout` seconds, SIGKILL after as many again.

        Return when nothing is left of them. Legal at any time; a second stop can only shorten the
        first.
        """
        self._end_restart_loops()
        self.hurry()
        self._close_all_pending()
        for worker in self._living():
            worker.stop(timeout)
        try:
            async with asyncio.timeout(2 * timeout + GONE_TIMEOUT):
                for each in self._supervisors:
                    if each.process is not None:
                        await each.process.gone.wait()
        except TimeoutError:
            left = [worker.pid for worker in self._living()]
            self._log.error("processes_survive_sigkill", pids=left)

    async def retire(self, timeout: float, successor: Pool | None = None) -> None:
        """Let connections end for `timeout` seconds, then stop.

        The listener is closed at once, unless the `successor` goes on with it.
        """
        if self.listener and (successor is None or successor.listener is not self.listener):
            self.listener.close()
        await self.drain(timeout)
        await self.stop(STOP_TIMEOUT)

    def _make(self) -> WorkerProcess:
        order, opening = self._order, self._next_order
        self._next_order = msgspec.structs.replace(opening, tells_of_config=False)
        return WorkerProcess(
            order.identity,
            opening,
            listening=order.listener.sockets if order.listener else (),
            changed=self._note_change,
        )

    def _living(self) -> list[WorkerProcess]:
        return [each.living for each in self._supervisors if each.living is not None]

    def _note_change(self) -> None:
        self._changed.set()
        self._hand_over()

    def _hand_over(self) -> None:
        while self._pending:
            ready = [each.ready for each in self._supervisors if each.ready is not None]
            if not ready:
                return
            least_busy = min(ready, key=lambda worker: worker.sessions)
            least_busy.give(self._pending.popleft().take())

    def _close_pending(self, pending: _PendingConnection) -> None:
        self._pending.remove(pending)
        pending.take().close()
        self._changed.set()

    def _close_all_pending(self) -> None:
        while self._pending:
            self._close_pending(self._pending[0])

    def _end_restart_loops(self) -> None:
        self._is_ending = True
        for restart_loop in self._restart_loops:
            restart_loop.cancel()

    def _report_given_up(self) -> None:
        if self._is_ending or not all(each.done() for each in self._restart_loops):
            return
        self._is_ending = True
        self._close_all_pending()
        self._failed(self, self._supervisors[0].error.message)


@dataclass(eq=False, slots=True)
class _PendingConnection:
    """A connection that no worker has yet."""

    connection: socket.socket
    timer: asyncio.TimerHandle | None = None

    def take(self) -> socket.socket:
        """Return the connection, which nothing closes any more when its time is over."""
        if self.timer is not None:
            self.timer.cancel()
        return self.connection


def _view(worker: WorkerProcess | None) -> WorkerView:
    return WorkerView(worker.pid, worker.sessions) if worker else WorkerView(None, 0)

"""The workers of one module: started together, given connections, kept going, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from genvm_manager.base.logging.lines import Level
from genvm_manager.base.process.backoff import Backoff
from genvm_manager.workers.control.messages import Logging, Open
from genvm_manager.workers.worker.identity import Identity

from .worker import Worker, WorkerState
from .worker_supervisor import Events, Slot

HANDOVER_TIMEOUT = 10.0
"""Seconds that a connection may wait for a worker to be ready; it is closed then."""

KILL_TIMEOUT = 20.0
"""Seconds after SIGKILL in which a worker and all that it has started must be gone."""

MAX_PARKED = 1_000
"""Connections that may wait so; further ones are closed at once."""


@dataclass(frozen=True, slots=True)
class PoolOrder:
    """What a pool is started with.

    `module`: dotted name of what has `open_module`. `config`: a JSON object. `listening`: sockets
    that all workers accept from; they stay the caller's. `unset_variables`: see
    `genvm_manager.workers.worker.module.ModuleOptions`.
    """

    identity: Identity
    module: str
    config: bytes
    workers: int
    allow_empty_backends: bool
    user_error: bool
    logging: Logging
    listening: tuple[socket.socket, ...] = ()
    unset_variables: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Shows no configuration: there are keys in it."""
        return f"<PoolOrder of {self.workers} workers for {self.module}>"


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker as others see it; `pid` is None while there is none in its place."""

    pid: int | None
    sessions: int


class Pool:
    """`failed` is called with the reason when the last worker has been given up."""

    def __init__(
        self,
        order: PoolOrder,
        log: Events,
        failed: Callable[[str], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._order = order
        self._log = log
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._first = Open(
            module=order.module,
            config=order.config,
            allow_empty_backends=order.allow_empty_backends,
            user_error=order.user_error,
            logging=order.logging,
            tells_of_config=True,
            descriptors=len(order.listening),
            unset_variables=dict(order.unset_variables),
        )
        self._slots = [
            Slot(order.identity.name, self._make, backoff or Backoff(), log)
            for _ in range(order.workers)
        ]
        self._keepers: list[asyncio.Task[None]] = []
        self._parked: deque[_Parked] = deque()
        self._changed = asyncio.Event()
        self._is_hurried = False
        self._is_ending = False
        self.shortage: str | None = None
        """See `genvm_manager.workers.worker.module.Module`; known once the pool has started."""

    @property
    def workers(self) -> list[WorkerView]:
        """One for each place, in order."""
        return [_view(slot.worker) for slot in self._slots]

    @property
    def sessions(self) -> int:
        """Connections in the hands of workers, or on their way there."""
        return sum(view.sessions for view in self.workers) + len(self._parked)

    async def start(self) -> None:
        """Start all workers; returns when each of them answers requests.

        Raises the `ManagerError` of the first that does not; no worker is left then, nor when it is
        cancelled.
        """
        opening = [asyncio.ensure_future(slot.open()) for slot in self._slots]
        try:
            await asyncio.gather(*opening)
        except BaseException:
            for each in opening:
                each.cancel()
            await asyncio.gather(*opening, return_exceptions=True)
            await self.stop(0)
            raise
        self.shortage = next((each.worker.shortage for each in self._slots if each.worker), None)
        self._keepers = [self._loop.create_task(slot.keep()) for slot in self._slots]
        for keeper in self._keepers:
            keeper.add_done_callback(lambda _: self._given_up())

    def connect(self) -> socket.socket:
        """A new connection to the least busy worker; the caller has its own end to close.

        While no worker is ready the other end waits, then it is closed. Raises `OSError` when there
        are no descriptors.
        """
        ours, theirs = socket.socketpair()
        parked = _Parked(theirs)
        self._parked.append(parked)
        self._hand_over()
        if parked in self._parked:
            if self._is_ending or len(self._parked) > MAX_PARKED:
                self._unpark(parked)
            else:
                parked.timer = self._loop.call_later(HANDOVER_TIMEOUT, self._unpark, parked)
        return ours

    def set_level(self, level: Level) -> None:
        """Have all workers, later ones too, log at another level."""
        logging = msgspec.structs.replace(self._first.logging, level=level)
        self._first = msgspec.structs.replace(self._first, logging=logging)
        for worker in self._living():
            worker.set_level(level)

    async def drain(self, timeout: float) -> None:
        """Start no more workers, and wait for the last connection's end for `timeout` seconds.

        `hurry` ends it sooner.
        """
        self._end_keepers()
        for worker in self._living():
            worker.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.sessions and not self._is_hurried:
                    self._changed.clear()
                    await self._changed.wait()

    def hurry(self) -> None:
        """Wait for connections no longer."""
        self._is_hurried = True
        self._changed.set()

    async def stop(self, timeout: float) -> None:
        """End all workers: ask, SIGTERM after `timeout` seconds, SIGKILL after as many again.

        Returns when nothing is left of them. Legal at any time, and again: that only shortens it.
        """
        self._end_keepers()
        self.hurry()
        while self._parked:
            self._unpark(self._parked[0])
        for worker in self._living():
            worker.stop(timeout)
        try:
            async with asyncio.timeout(2 * timeout + KILL_TIMEOUT):
                for slot in self._slots:
                    if slot.worker is not None:
                        await slot.worker.gone.wait()
        except TimeoutError:
            left = [worker.pid for worker in self._living()]
            self._log.error("processes_survive_sigkill", pids=left)

    def _make(self) -> Worker:
        order, opening = self._order, self._first
        self._first = msgspec.structs.replace(opening, tells_of_config=False)
        return Worker(order.identity, opening, list(order.listening), self._worker_changed)

    def _living(self) -> list[Worker]:
        found = [slot.worker for slot in self._slots if slot.worker is not None]
        return [worker for worker in found if worker.state is not WorkerState.ENDED]

    def _worker_changed(self) -> None:
        self._changed.set()
        self._hand_over()

    def _hand_over(self) -> None:
        while self._parked:
            ready = [slot.ready for slot in self._slots if slot.ready is not None]
            if not ready:
                return
            least_busy = min(ready, key=lambda worker: worker.sessions)
            least_busy.give(self._parked.popleft().taken())

    def _unpark(self, parked: _Parked) -> None:
        self._parked.remove(parked)
        parked.close()
        self._changed.set()

    def _end_keepers(self) -> None:
        self._is_ending = True
        for keeper in self._keepers:
            keeper.cancel()

    def _given_up(self) -> None:
        if self._is_ending or not all(keeper.done() for keeper in self._keepers):
            return
        self._is_ending = True
        while self._parked:
            self._unpark(self._parked[0])
        self._failed(self._slots[0].error.message)


@dataclass(eq=False, slots=True)
class _Parked:
    """A connection that no worker has yet."""

    connection: socket.socket
    timer: asyncio.TimerHandle | None = None

    def taken(self) -> socket.socket:
        if self.timer is not None:
            self.timer.cancel()
        return self.connection

    def close(self) -> None:
        self.taken().close()


def _view(worker: Worker | None) -> WorkerView:
    if worker is None or worker.state is WorkerState.ENDED:
        return WorkerView(None, 0)
    return WorkerView(worker.pid, worker.sessions)

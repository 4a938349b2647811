"""One place in a pool: a worker and, when it dies, its successor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from genvm_manager.base.errors import ManagerError, RequestFailed, Unavailable
from genvm_manager.base.process.backoff import Backoff
from genvm_manager.base.process.exhaustion import is_exhaustion

from .worker import Worker, WorkerState

REFUSAL_PAUSE = 1.0
"""Seconds until a start that the system refused is tried again."""


class Events(Protocol):
    """Where a pool logs what happens to it."""

    def info(self, event: str, /, **fields: Any) -> None: ...
    def warning(self, event: str, /, **fields: Any) -> None: ...
    def error(self, event: str, /, **fields: Any) -> None: ...


class Slot:
    """Keeps a worker going until nobody wants it, or until it has died too often."""

    def __init__(
        self, module: str, make: Callable[[], Worker], backoff: Backoff, log: Events
    ) -> None:
        """`module` is its name; `make` starts a worker, or raises `OSError`."""
        self._module = module
        self._make = make
        self._backoff = backoff
        self._log = log
        self._crashes: list[float] = []
        self._error: ManagerError = RequestFailed(f"the {module} module has no worker yet")
        self.worker: Worker | None = None

    @property
    def error(self) -> ManagerError:
        """Why the latest worker is no more."""
        return (self.worker and self.worker.error) or self._error

    @property
    def ready(self) -> Worker | None:
        """The worker, if it answers requests."""
        worker = self.worker
        return worker if worker is not None and worker.state is WorkerState.READY else None

    async def open(self) -> None:
        """Start the first worker and wait until it is ready. Raises why it is not."""
        self._start()
        if self.worker is not None:
            await self.worker.settled.wait()
        if self.ready is None:
            raise self.error

    async def keep(self) -> None:
        """Replace the worker whenever it dies, until it has died too often; cancelled to end it."""
        loop = asyncio.get_running_loop()
        while True:
            if self.worker is not None:
                await self._attend(self.worker)
            delay = self._next_delay(loop.time())
            reason = self.error.message
            if delay is None:
                crashes = len(self._crashes)
                self._log.error(
                    "worker_given_up", module=self._module, crashes=crashes, reason=reason
                )
                return
            event = "worker_not_started" if self._is_refused else "worker_died"
            self._log.warning(event, module=self._module, reason=reason, retry_in=delay)
            await asyncio.sleep(delay)
            self._start()

    def _next_delay(self, now: float) -> float | None:
        """Seconds until the next start; None: it has died too often. A start that the system
        refuses is no death of a worker's."""
        if self._is_refused:
            return REFUSAL_PAUSE
        self._crashes = [at for at in self._crashes if now - at <= self._backoff.window]
        self._crashes.append(now)
        return self._backoff.next_delay(self._crashes, now)

    @property
    def _is_refused(self) -> bool:
        """Whether the system has refused the latest start."""
        return self.worker is None and isinstance(self._error, Unavailable)

    async def _attend(self, worker: Worker) -> None:
        """Wait for its end."""
        await worker.settled.wait()
        if self.ready is worker:
            self._log.info("worker_ready", module=self._module, worker=worker.pid)
        await worker.gone.wait()

    def _start(self) -> None:
        try:
            self.worker = self._make()
        except OSError as error:
            self.worker = None
            message = f"no process for a worker of the {self._module} module: {error.strerror}"
            passes = is_exhaustion(error)
            self._error = Unavailable(message, 2) if passes else RequestFailed(message)

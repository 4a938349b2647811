"""The restart loop of one worker: when its process dies, another one takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from genvm_manager.base.errors import ManagerError, RequestFailed, Unavailable
from genvm_manager.base.process.backoff import Backoff
from genvm_manager.base.process.exhaustion import is_exhaustion

from .worker_process import WorkerProcess, WorkerState

REFUSAL_PAUSE = 1.0
"""Seconds until a start that the system refused is tried again."""


class Events(Protocol):
    """The log that a pool writes to."""

    def info(self, event: str, /, **fields: Any) -> None:
        """Log an event of everyday life."""

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log an event that needs attention if it comes often."""

    def error(self, event: str, /, **fields: Any) -> None:
        """Log an event that somebody has to look at."""


class WorkerSupervisor:
    """Starts a worker process again whenever it dies, until it has died too often.

    `process` is the latest one; None before the first start and after a start that failed.
    """

    def __init__(
        self, module: str, make: Callable[[], WorkerProcess], backoff: Backoff, log: Events
    ) -> None:
        """Supervise a worker of `module`; `make` starts its process, or raises `OSError`."""
        self._module = module
        self._make = make
        self._backoff = backoff
        self._log = log
        self._crashes: list[float] = []
        self._error: ManagerError = RequestFailed(f"the {module} module has no worker yet")
        self.process: WorkerProcess | None = None

    @property
    def error(self) -> ManagerError:
        """Why the latest process has ended or could not be started."""
        return (self.process and self.process.error) or self._error

    @property
    def living(self) -> WorkerProcess | None:
        """The process, unless it has ended."""
        process = self.process
        return process if process and process.state is not WorkerState.ENDED else None

    @property
    def ready(self) -> WorkerProcess | None:
        """The process, if it answers requests."""
        process = self.process
        return process if process and process.state is WorkerState.READY else None

    async def start(self) -> None:
        """Start the first process and wait until it is ready. Raises `error` when it is not."""
        self._start()
        if self.process is not None:
            await self.process.settled.wait()
        if self.ready is None:
            raise self.error

    async def keep_running(self) -> None:
        """Replace the process whenever it dies; return when it has died too often."""
        loop = asyncio.get_running_loop()
        while True:
            if self.process is not None:
                await self._wait_for_end(self.process)
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
        """Return the seconds until the next start, or None when the worker has died too often.

        A start that the system refuses is no death of a worker.
        """
        if self._is_refused:
            return REFUSAL_PAUSE
        self._crashes = [at for at in self._crashes if now - at <= self._backoff.window]
        self._crashes.append(now)
        return self._backoff.next_delay(self._crashes, now)

    @property
    def _is_refused(self) -> bool:
        """Whether the system has refused the latest start."""
        return self.process is None and isinstance(self._error, Unavailable)

    async def _wait_for_end(self, process: WorkerProcess) -> None:
        await process.settled.wait()
        if self.ready is process:
            self._log.info("worker_ready", module=self._module, worker=process.pid)
        await process.gone.wait()

    def _start(self) -> None:
        try:
            self.process = self._make()
        except OSError as error:
            self.process = None
            message = f"no process for a worker of the {self._module} module: {error.strerror}"
            passes = is_exhaustion(error)
            self._error = Unavailable(message, 2) if passes else RequestFailed(message)

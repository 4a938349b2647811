"""The processes that make up a service: what dies is started again, and all end together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import IO

from genvm_manager.base.process.exhaustion import EX_TEMPFAIL, is_exhaustion
from genvm_manager.base.process.reparented import ReparentedChildren
from genvm_manager.protocol.ipc.runs import Exit
from genvm_manager.protocol.run_end import describe_exit

from .errors import ServiceFailed, StopRequested
from .service_process import ServiceProcess, await_events
from .stop_signals import StopSignals

START_TIMEOUT = 60.0
"""Seconds within which a process must answer after its start."""

STATE_FOLDER_HELD = 73
"""The supervisor's exit code when another one holds the state folder."""

_START_POLL = 0.02
"""Seconds between two attempts to reach a process that is starting."""


class ServiceProcesses:
    """The processes in the order in which they were started, which is that in which they stop."""

    def __init__(
        self,
        report: Callable[[str], None],
        stops: StopSignals | None = None,
        stderr: IO[bytes] | None = None,
        reparented: ReparentedChildren | None = None,
    ) -> None:
        """`report` gets each event worth a line; `stderr`, if given, takes the processes' own;
        `reparented`, if given, ends the children that a process which died left to this one.
        """
        self._report = report
        self._stops = stops
        self._stderr = stderr
        self._reparented = reparented
        self._all: list[ServiceProcess] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        descriptors: Sequence[int],
        *,
        stop_timeout: float,
        session_grace: float = 0.0,
    ) -> ServiceProcess:
        """Start one more; see `ServiceProcess`. Raises `OSError`."""
        process = ServiceProcess(
            name,
            command,
            descriptors=descriptors,
            stderr=self._stderr,
            stop_timeout=stop_timeout,
            session_grace=session_grace,
        )
        process.start()
        self._all.append(process)
        return process

    def await_ready(self, process: ServiceProcess, is_ready: Callable[[], bool]) -> None:
        """Return once `is_ready`. Raises as `require_up`, and `ServiceFailed` after a minute."""
        while process.pid is None or not is_ready():
            self.require_up()
            if process.pid is not None and time.monotonic() > process.started_at + START_TIMEOUT:
                raise ServiceFailed(f"{process.name} did not answer within {START_TIMEOUT:.0f} s")
            self.wait(_START_POLL)

    def require_up(self) -> None:
        """During the start: start again what a signal has killed.

        Raises `StopRequested` when a stop is asked for, and `ServiceFailed` for a process that
        ended by itself: it would do so again.
        """
        if self._stops is not None and self._stops.count:
            raise StopRequested
        self._handle_ends(self._start_failed)

    def restart_ended(self) -> None:
        """After the start: start again whatever has ended, after a delay that grows.

        Raises `ServiceFailed` when one has died too often.
        """
        self._handle_ends(self._restart_later)

    def wait(self, timeout: float) -> None:
        """Return when a process ends, a signal comes, a restart is due, or after `timeout`
        seconds.
        """
        due = [each.restart_at for each in self._all if each.restart_at is not None]
        left = max(0.0, min(due) - time.monotonic()) if due else timeout
        await_events(self._all, self._stops, min(left, timeout))

    def reap_reparented(self, others: Sequence[int]) -> None:
        """Reap the children that nobody here waits for; for `others` somebody does."""
        if self._reparented is not None:
            ours = {each.pid for each in self._all if each.pid is not None}
            self._reparented.reap(ours.union(others))

    def stop(self) -> None:
        """End one after the other, in the order of their start."""
        for process in self._all:
            if not process.end(self._stops):
                self._report(f"{process.name} does not stop; it was killed")
            if process.pid is not None:
                self._reap(process)
        self._all.clear()

    def _handle_ends(self, handle: Callable[[ServiceProcess], None]) -> None:
        """Start what is due, and call `handle` for each process that has ended."""
        for process in self._all:
            if process.restart_at is None and process.ended():
                handle(process)
            elif process.restart_at is not None and process.restart_at <= time.monotonic():
                self._start_again(process)

    def _start_failed(self, process: ServiceProcess) -> None:
        end = self._reap(process)
        if end.signal is not None:
            self._schedule_restart(process, end)
        elif end.code == STATE_FOLDER_HELD:
            raise ServiceFailed
        else:
            raise ServiceFailed(f"{process.name} did not start: it {describe_exit(end)}")

    def _restart_later(self, process: ServiceProcess) -> None:
        self._schedule_restart(process, self._reap(process))

    def _schedule_restart(self, process: ServiceProcess, end: Exit) -> None:
        how = describe_exit(end)
        passes = end.code == EX_TEMPFAIL
        delay = process.schedule_retry() if passes else process.schedule_restart()
        if delay is None:
            raise ServiceFailed(f"{process.name} {how}; it has died too often, giving up")
        self._report(f"{process.name} {how}; starting it again in {delay:.1f} s")

    def _start_again(self, process: ServiceProcess) -> None:
        """Start what is due. A refusal that passes leaves the other process running, however often
        it comes.
        """
        try:
            process.start()
        except OSError as error:
            refused = f"{process.name} cannot be started: {error.strerror}"
            passes = is_exhaustion(error)
            delay = process.schedule_retry() if passes else process.schedule_restart()
            if delay is None:
                raise ServiceFailed(f"{refused}; giving up") from None
            self._report(f"{refused}; trying again in {delay:.1f} s")

    def _reap(self, process: ServiceProcess) -> Exit:
        """Return how it ended, once all that it left behind has been killed."""
        end = process.reap()
        if self._reparented is not None:
            sessions = [other.pid for other in self._all if other.pid is not None]
            if left := self._reparented.end(sessions):
                self._report(f"left by {process.name}, these survive SIGKILL: {left}")
        return end

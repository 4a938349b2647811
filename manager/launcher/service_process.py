"""One of the processes that make up the service, as its parent sees it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import psutil

from genvm_manager.base.process.backoff import Backoff
from genvm_manager.protocol.ipc.runs import Exit

from .stop_signals import AT_ONCE, StopSignals

HURRIED_STOP_TIMEOUT = 5.0
"""Seconds for all that remains once a stop is asked for a second time."""

_PAUSE = 0.02
_PATIENT = Backoff(max_delay=5.0, max_crashes=sys.maxsize)
"""For starts that the system refuses: that is no fault of the process, and it passes."""


class ServiceProcess:
    """A process in a session of its own that stops when the parent-death pipe from here closes.

    It can be started again after it has ended.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        descriptors: Sequence[int] = (),
        stderr: IO[bytes] | None = None,
        parting: float = 0.0,
    ) -> None:
        """`arguments` follow `python -m`; the process inherits `descriptors`, and our stderr or
        the given file. When it has ended, others of its session have `parting` seconds to do so;
        without, nothing is lost when it is killed."""
        self.name = name
        self.started_at = 0.0
        self._parting = parting
        self.restart_at: float | None = None
        self._arguments = list(arguments)
        self._descriptors = tuple(descriptors)
        self._stderr = stderr
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._parent_pipe = -1
        self._backoff = Backoff()
        self._crashes: deque[float] = deque(maxlen=self._backoff.max_crashes)
        self._refusals: deque[float] = deque(maxlen=16)

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process else None

    @property
    def pidfd(self) -> int | None:
        """Readable once the process has ended; None while it does not run."""
        return self._pidfd if self._process else None

    def start(self) -> None:
        """Start it; it must not be running. `OSError` when the system has no room for it."""
        self.restart_at = None
        reader, writer = os.pipe()
        try:
            # -P: a folder of that name where the user happens to be is not the program.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", *self._arguments, "--parent-pipe-fd", str(reader)],
                pass_fds=(reader, *self._descriptors),
                stdin=subprocess.DEVNULL,
                stderr=self._stderr,
                start_new_session=True,
            )
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        try:
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            os.close(writer)
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            raise
        self.started_at = time.monotonic()
        self._parent_pipe = writer

    def ended(self, within: float = 0.0) -> bool:
        """Whether it has ended, at the latest so many seconds from now. True if never started."""
        if self._process is None:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(within * 1000))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, to all of its group for SIGKILL; nothing if it ended."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)

    def kill_tree(self) -> None:
        """SIGKILL it, its group and all that they have started, whatever their group."""
        if self._process is None:
            return
        with suppress(psutil.Error):
            for descendant in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    descendant.kill()
        self.signal(signal.SIGKILL)

    def cut_parent_pipe(self) -> None:
        """Have it notice that nobody needs it any more: it stops without waiting for anything."""
        if self._parent_pipe >= 0:
            os.close(self._parent_pipe)
            self._parent_pipe = -1

    def end(self, timeout: float, stops: StopSignals | None) -> bool:
        """SIGTERM, again when the user insists, and SIGKILL after `timeout` seconds; whether it
        has ended before that."""
        deadline = time.monotonic() + timeout
        asked = 0
        while not self.ended():
            left = deadline - time.monotonic()
            wanted = min(AT_ONCE, max(1, stops.count if stops else 0))
            if asked < wanted:
                asked = AT_ONCE if wanted == AT_ONCE else asked + 1
                self._ask_to_stop(asked)
                if asked > 1:
                    deadline = min(deadline, time.monotonic() + HURRIED_STOP_TIMEOUT)
                # Two signals of one kind count as one while they are pending.
                await_events([self], stops, 0.2)
            elif left > 0:
                await_events([self], stops, left)
            else:
                self.kill_tree()
                self.ended(within=HURRIED_STOP_TIMEOUT)
                return False
        return True

    def _ask_to_stop(self, asked: int) -> None:
        if asked < AT_ONCE:
            self.signal(signal.SIGTERM)
        elif self._parting:
            self.cut_parent_pipe()
        else:
            self.kill_tree()

    def reap(self) -> Exit:
        """How it ended. Call it once `ended`; what is left of its group goes with it.

        Blocks for the parting of those who still have something to do.
        """
        assert self._process is not None
        until = time.monotonic() + self._parting
        while time.monotonic() < until and self._has_company():
            time.sleep(_PAUSE)
        # The group's number is its own for as long as its leader is not reaped.
        self.signal(signal.SIGKILL)
        code = self._process.wait()
        os.close(self._pidfd)
        self.cut_parent_pipe()
        self._process = None
        return Exit(signal=-code) if code < 0 else Exit(code=code)

    def _has_company(self) -> bool:
        """Whether another process of its session lives."""
        assert self._process is not None
        for pid in psutil.pids():
            with suppress(ProcessLookupError, psutil.Error):
                if pid != self._process.pid == os.getsid(pid):
                    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return False

    def schedule_restart(self) -> float | None:
        """Seconds until `restart_at`, by the backoff policy; None: it died too often."""
        return self._schedule(self._backoff, self._crashes)

    def schedule_retry(self) -> float | None:
        """Seconds until `restart_at` after a start that the system refused; never None."""
        return self._schedule(_PATIENT, self._refusals)

    def _schedule(self, backoff: Backoff, failures: deque[float]) -> float | None:
        now = time.monotonic()
        failures.append(now)
        delay = backoff.next_delay(failures, now)
        self.restart_at = None if delay is None else now + delay
        return delay


def await_events(
    processes: Sequence[ServiceProcess], stops: StopSignals | None, timeout: float | None
) -> None:
    """Until one of them ends, a signal comes, or the time (in seconds) is over."""
    poll = select.poll()
    for process in processes:
        if process.pidfd is not None:
            poll.register(process.pidfd, select.POLLIN)
    if stops:
        for descriptor in stops.descriptors:
            poll.register(descriptor, select.POLLIN)
    poll.poll(None if timeout is None else timeout * 1000)
    if stops:
        stops.acknowledge()

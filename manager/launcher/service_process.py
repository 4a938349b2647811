"""One process of a service, as its parent holds it: started, signalled, stopped and reaped."""

from __future__ import annotations

import os
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
from genvm_manager.base.process.children import open_child_pidfd
from genvm_manager.base.process.killing import pauses, signal_group, signal_process
from genvm_manager.base.process.pidfd import has_ended, wait_readable
from genvm_manager.base.process.proc import session_of
from genvm_manager.base.process.stop_sequence import StopSchedule, StopStep, stop_sequence
from genvm_manager.protocol.ipc.runs import Exit

from .stop_signals import AT_ONCE, StopSignals

HURRIED_STOP_TIMEOUT = 5.0
"""Seconds for all that remains once a stop is asked for a second time."""

_AT_ONCE = (StopStep(signal.SIGKILL, HURRIED_STOP_TIMEOUT),)
_RESENT_AFTER = 0.2
"""Seconds between two SIGTERM: the kernel merges signals of one kind while they are pending."""

_REFUSED_STARTS = Backoff(max_delay=5.0, max_crashes=sys.maxsize)
"""For starts that the system refuses: that is no fault of the process, and it passes."""


class ServiceProcess:
    """A process in a session of its own that stops when the parent-death pipe from here closes.

    It can be started again after it has ended.
    """

    def __init__(  # noqa: PLR0913 - what a process is started and stopped with
        self,
        name: str,
        command: Sequence[str],
        *,
        descriptors: Sequence[int] = (),
        stderr: IO[bytes] | None = None,
        stop_timeout: float,
        session_grace: float = 0.0,
    ) -> None:
        """Describe it; nothing is started yet.

        `command` follows `python -m`. The process inherits `descriptors`, and our stderr or the
        given file. It has `stop_timeout` seconds from SIGTERM to SIGKILL. After its end, the other
        processes of its session have `session_grace` seconds to end as well; 0 means that nothing
        is lost when they are killed at once.
        """
        self.name = name
        self.started_at = 0.0
        self.restart_at: float | None = None
        self._stop_timeout = stop_timeout
        self._session_grace = session_grace
        self._command = list(command)
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
        """Its pid; None while it does not run."""
        return self._process.pid if self._process else None

    @property
    def pidfd(self) -> int | None:
        """A descriptor that is readable once it has ended; None while it does not run."""
        return self._pidfd if self._process else None

    def start(self) -> None:
        """Start it; it must not be running. Raises `OSError` when the system refuses a process."""
        self.restart_at = None
        reader, writer = os.pipe()
        # The process inherits this, and unblocks SIGHUP once it handles it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            # -P: a folder `genvm_manager` where the user happens to be is not the program.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", *self._command, "--parent-pipe-fd", str(reader)],
                pass_fds=(reader, *self._descriptors),
                stdin=subprocess.DEVNULL,
                stderr=self._stderr,
                start_new_session=True,
            )
        except BaseException:
            os.close(writer)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(reader)
        try:
            self._pidfd = open_child_pidfd(self._process.pid)
        except OSError:
            os.close(writer)
            # The process is killed and reaped already; this lets Popen know.
            self._process.wait()
            self._process = None
            raise
        self.started_at = time.monotonic()
        self._parent_pipe = writer

    def ended(self, within: float = 0.0) -> bool:
        """Return whether it has ended, at the latest `within` seconds from now; True
        for one that was never started.
        """
        if self._process is None:
            return True
        return has_ended(self._pidfd, within)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, SIGKILL to its whole group, unless it has ended."""
        if self._process is None:
            return
        # It is not reaped yet: its pid, and its group's number, are its own.
        send = signal_group if number is signal.SIGKILL else signal_process
        send(self._process.pid, number)

    def kill_tree(self) -> None:
        """Send SIGKILL to it, to its group and to all their descendants, whatever their group."""
        if self._process is None:
            return
        with suppress(psutil.Error):
            for descendant in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    descendant.kill()
        self.signal(signal.SIGKILL)

    def cut_parent_pipe(self) -> None:
        """Have it notice that its parent is gone: it stops without waiting for anything."""
        if self._parent_pipe >= 0:
            os.close(self._parent_pipe)
            self._parent_pipe = -1

    def end(self, stops: StopSignals | None) -> bool:
        """Stop it: SIGTERM, SIGTERM again for each further signal in `stops`, SIGKILL when its time
        is over. Return whether it has ended before that.
        """
        schedule = StopSchedule()
        asked = 0
        while not self.ended():
            now = time.monotonic()
            wanted = min(AT_ONCE, max(1, stops.count if stops else 0))
            if asked < wanted:
                asked = AT_ONCE if wanted == AT_ONCE else asked + 1
                schedule.add(self._begin_steps(asked), now)
            match schedule.take(now):
                case signal.SIGTERM:
                    self.signal(signal.SIGTERM)
                    await_events([self], stops, _RESENT_AFTER)
                case signal.SIGKILL:
                    self.kill_tree()
                    self.ended(within=HURRIED_STOP_TIMEOUT)
                    return False
                case None:
                    await_events([self], stops, schedule.until_next(now))
        return True

    def _begin_steps(self, asked: int) -> tuple[StopStep, ...]:
        """Return the steps that the request number `asked` adds; each request shortens the stop."""
        if asked < AT_ONCE:
            return stop_sequence(self._stop_timeout if asked == 1 else HURRIED_STOP_TIMEOUT)
        self._stop_at_once()
        return _AT_ONCE

    def _stop_at_once(self) -> None:
        if self._session_grace:
            self.cut_parent_pipe()
        else:
            self.kill_tree()

    def reap(self) -> Exit:
        """Return how it ended, and kill what is left of its group. Call it once `ended`.

        Blocks for at most `session_grace`, for as long as others of its session are there.
        """
        assert self._process is not None
        for pause in pauses(self._session_grace):
            if not self._has_session_members():
                break
            time.sleep(pause)
        # Before `wait`: once the leader is reaped, the group's number may become another's.
        self.signal(signal.SIGKILL)
        code = self._process.wait()
        os.close(self._pidfd)
        self.cut_parent_pipe()
        self._process = None
        return Exit.of_returncode(code)

    def _has_session_members(self) -> bool:
        """Return whether another process of its session is alive."""
        assert self._process is not None
        for pid in psutil.pids():
            with suppress(psutil.Error):
                is_member = pid != self._process.pid == session_of(pid)
                if is_member and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    return True
        return False

    def schedule_restart(self) -> float | None:
        """Set `restart_at` by the backoff policy; return the seconds until then, or None when the
        process has died too often.
        """
        return self._schedule(self._backoff, self._crashes)

    def schedule_retry(self) -> float | None:
        """Set `restart_at` after a start that the system refused; return the seconds until then."""
        return self._schedule(_REFUSED_STARTS, self._refusals)

    def _schedule(self, backoff: Backoff, failures: deque[float]) -> float | None:
        now = time.monotonic()
        failures.append(now)
        delay = backoff.next_delay(failures, now)
        self.restart_at = None if delay is None else now + delay
        return delay


def await_events(
    processes: Sequence[ServiceProcess], stops: StopSignals | None, timeout: float | None
) -> None:
    """Return when one of them ends, a signal comes, or `timeout` seconds are over."""
    pidfds = [process.pidfd for process in processes if process.pidfd is not None]
    wait_readable([*pidfds, *(stops.descriptors if stops else ())], timeout)
    if stops:
        stops.acknowledge()

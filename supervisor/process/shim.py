"""The shim: the small process that starts the supervisor, waits for it, and ends what it leaves.

Supervisor and shim are subreapers. However the supervisor ends, the kernel makes all that it had
started children of the shim, which kills and reaps them. The shim imports next to nothing, so that
it needs little memory and has little that could fail.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import setproctitle

from genvm_manager.base.process.children import become_subreaper, own_children
from genvm_manager.base.process.exhaustion import EX_TEMPFAIL
from genvm_manager.base.process.killing import (
    KILL_TIMEOUT,
    kill_until_gone,
    signal_group,
    signal_process,
)
from genvm_manager.base.process.proc import session_of
from genvm_manager.base.process.signals import heeded, settle_signals
from genvm_manager.base.process.terminal import Terminal
from genvm_manager.supervisor.cgroups.leftovers import Leftovers

ASK = b"\0"
"""What the shim writes to the supervisor for each signal that asks it to stop."""

RELOAD = b"\1"
"""What the shim writes to the supervisor for each signal that asks it to reload."""

_HELPER_GRACE = 1.0
"""Seconds for what shares the supervisor's session, such as module workers, to notice its end and
end by itself. No run's process can be in that session."""

ABORT_TIMEOUT = 2.0
"""Seconds after SIGABRT for the supervisor to say where it hangs; if it does not, it is killed."""


def run_under_shim(run: Callable[[int], int]) -> int:
    """Call `run`, the supervisor, in a forked process; return the exit status to end with.

    `run` gets the reading end of a pipe: an `ASK` comes for each signal to stop, a `RELOAD` for
    each to reload, and the pipe ends with the shim. When a signal ends the supervisor, the shim
    ends by the same signal.
    """
    # Until it is awaited: a reload must not end a shim that is starting.
    settle_signals(*heeded(signal.SIGHUP))
    outsiders = frozenset(own_children())
    folder = state_folder(sys.argv[1:])
    # A core would have keys of providers in it; runs would leave theirs in the state folder.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _fill_standard_descriptors()
    become_subreaper()
    reader, writer = os.pipe()
    # A blocked signal is delivered even if it is ignored, so ignored ones are not awaited.
    asking = heeded(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    awaited = {*asking, signal.SIGABRT, signal.SIGCHLD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, awaited) - {signal.SIGHUP}
    try:
        pid = os.fork()
    except OSError as error:
        _say(f"no process for the supervisor: {error.strerror}")
        return EX_TEMPFAIL
    if pid == 0:
        os.close(writer)
        # Blocked until the supervisor handles it: a reload must not end one that is starting.
        signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, signal.SIGHUP})
        return run(reader)
    _settle_in(writer, folder)
    status = Shim(pid, writer, outsiders, folder, awaited).watch()
    return _end_like(os.waitstatus_to_exitcode(status), mask)


class Shim:
    """Watches one supervisor; made after the fork, with the signals in `awaited` blocked."""

    def __init__(
        self,
        supervisor: int,
        request_pipe: int,
        outsiders: frozenset[int],
        folder: str | None,
        awaited: set[signal.Signals],
    ) -> None:
        """`request_pipe` takes an `ASK` for each request to stop. `outsiders` are children that
        were there before the supervisor, which are not ended. `folder` is the state folder.
        """
        self._supervisor = supervisor
        self._request_pipe = request_pipe
        self._outsiders = outsiders
        self._folder = folder
        self._awaited = awaited
        self._terminal = Terminal()
        self._status: int | None = None
        self._kill_at: float | None = None

    def watch(self) -> int:
        """Wait until the supervisor and all that it left have ended; return its wait status."""
        while self._status is None:
            match self._next_signal():
                case signal.SIGCHLD:
                    self._reap()
                case signal.SIGABRT:
                    self._abort()
                case None:
                    self._kill_at = None
                    signal_process(self._supervisor, signal.SIGKILL)
                case signal.SIGHUP if not self._terminal.has_hung_up:
                    self._forward(RELOAD)
                case _:
                    self._forward(ASK)
        self._end_the_rest()
        return self._status

    def _next_signal(self) -> int | None:
        """Return the next signal, or None when the time has come to kill a hung supervisor."""
        if self._kill_at is None:
            return signal.sigwaitinfo(self._awaited).si_signo
        left = max(0.0, self._kill_at - time.monotonic())
        found = signal.sigtimedwait(self._awaited, left)
        return found and found.si_signo

    def _abort(self) -> None:
        """End a supervisor that the service manager takes for hung.

        On SIGABRT it prints where its event loop is, if it can.
        """
        _say("the service manager says that the supervisor hangs; ending it")
        self._kill_at = time.monotonic() + ABORT_TIMEOUT
        signal_process(self._supervisor, signal.SIGABRT)

    def _forward(self, request: bytes) -> None:
        # A message, not a signal: the supervisor gets a signal to the whole group, as Ctrl-C is,
        # by itself too, and could not tell that from a second request.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._request_pipe, request)

    def _reap(self) -> None:
        """Reap all children that have ended."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._supervisor:
                    self._status = found[1]

    def _end_the_rest(self) -> None:
        """Kill and reap until no child is left: each that dies may leave us its own children."""
        helpers_until = time.monotonic() + _HELPER_GRACE
        leftovers = Leftovers(self._folder)
        killed = set(leftovers.kill())

        def kill() -> set[int]:
            self._reap()
            left = set(own_children()) - self._outsiders
            doomed = left
            if time.monotonic() < helpers_until:
                doomed = {pid for pid in left if not _is_helper(pid)}
            for pid in doomed:
                _kill(pid)
            killed.update(doomed)
            return left

        if survivors := kill_until_gone(kill, KILL_TIMEOUT, _pause):
            _say(f"these survive SIGKILL: {_listed(survivors)}")
            return
        killed.update(leftovers.end(KILL_TIMEOUT))
        if killed:
            _say(f"the supervisor left processes behind; killed {_listed(killed)}")


def _pause(seconds: float) -> None:
    """Wait for a child's end, but not longer than `seconds`; SIGCHLD is blocked here."""
    signal.sigtimedwait({signal.SIGCHLD}, seconds)


def _fill_standard_descriptors() -> None:
    """Open /dev/null for each of 0, 1 and 2 that is closed: no other file may get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _settle_in(request_pipe: int, folder: str | None) -> None:
    """Set the process title, and close all descriptors but the pipe to the supervisor."""
    if folder:
        setproctitle.setproctitle(f"genvm-manager shim {folder}")
    # The parent-death pipe is among them: only the supervisor listens to it.
    os.closerange(3, request_pipe)
    os.closerange(request_pipe + 1, os.sysconf("SC_OPEN_MAX"))
    os.set_blocking(request_pipe, False)


def state_folder(arguments: Sequence[str]) -> str | None:
    """Return the state folder that the supervisor's command line names, or None."""
    for number, word in enumerate(arguments):
        if word == "--state-dir" and number + 1 < len(arguments):
            return os.path.abspath(arguments[number + 1])
        if word.startswith("--state-dir="):
            return os.path.abspath(word.removeprefix("--state-dir="))
    return None


def _is_helper(pid: int) -> bool:
    """Return whether a process is of our session, as is all that the supervisor starts for itself,
    such as module workers.
    """
    return session_of(pid) == os.getsid(0)


def _kill(pid: int) -> None:
    """Send SIGKILL to a child; to one of a run with its whole group, which could fork faster than
    its members die one by one.
    """
    if not _is_helper(pid):
        with suppress(ProcessLookupError):
            signal_group(os.getpgid(pid), signal.SIGKILL)
    signal_process(pid, signal.SIGKILL)


def _end_like(code: int, mask: set[signal.Signals | int]) -> int:
    """Return the supervisor's exit status; if a signal ended it, end by the same signal instead."""
    if code >= 0:
        return code
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.kill(os.getpid(), -code)
    # The first process of a container survives the signals that it sends to itself.
    return 128 - code


def _say(line: str) -> None:
    with suppress(OSError):
        print(f"genvm-manager shim: {line}", file=sys.stderr, flush=True)


def _listed(pids: set[int]) -> str:
    return ", ".join(str(pid) for pid in sorted(pids))

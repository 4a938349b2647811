"""The small process between the supervisor and whoever started it: nothing outlives it unowned.

It starts the supervisor and waits. However that one ends, all that it leaves behind falls to the
shim, a subreaper too, and is killed. The shim imports next to nothing, so that it costs little
and has nothing to die of.
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

from genvm_manager.base.process.exhaustion import EX_TEMPFAIL
from genvm_manager.base.process.proc import (
    become_subreaper,
    own_children,
    signal_group,
    signal_process,
)
from genvm_manager.base.process.signals import heeded, settle_signals
from genvm_manager.supervisor.cgroups.leftovers import Leftovers

TIMEOUT = 10.0
"""Seconds after the supervisor's end in which all that it left must be gone."""

ASK = b"\0"
"""What the shim writes to the supervisor for each signal that asks it to stop."""

_HELPER_TIMEOUT = 1.0
"""Seconds for what shares the supervisor's session, module workers and the like, to notice its end
and go by itself. No run's process can be in that session."""

ABORT_TIMEOUT = 2.0
"""Seconds after SIGABRT for the supervisor to say where it hangs; if it does not, it is killed."""

_PAUSE = 0.05


def guarded(run: Callable[[int], int]) -> int:
    """Have `run` be the supervisor, in a process of its own; gives the exit status to end with.

    `run` gets the reading end of a pipe: an `ASK` comes for each signal to stop, and the pipe ends
    with the shim. A supervisor that a signal ends has the shim end by the same one.
    """
    settle_signals()
    outsiders = frozenset(own_children())
    folder = state_folder(sys.argv[1:])
    # A core would have keys of providers in it; runs would leave theirs in the state folder.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _fill_standard_descriptors()
    become_subreaper()
    reader, writer = os.pipe()
    # A blocked signal comes though it is ignored: those are left out.
    asking = heeded(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    awaited = {*asking, signal.SIGABRT, signal.SIGCHLD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        pid = os.fork()
    except OSError as error:
        _say(f"no process for the supervisor: {error.strerror}")
        return EX_TEMPFAIL
    if pid == 0:
        os.close(writer)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return run(reader)
    _settle_in(writer, folder)
    status = _Guard(pid, writer, outsiders, folder, awaited).watch()
    return _end_like(os.waitstatus_to_exitcode(status), mask)


class _Guard:
    """Watches one supervisor. `outsiders`: children that were here before it, not ours to end."""

    def __init__(
        self,
        supervisor: int,
        line: int,
        outsiders: frozenset[int],
        folder: str | None,
        awaited: set[signal.Signals],
    ) -> None:
        self._supervisor = supervisor
        self._line = line
        self._outsiders = outsiders
        self._folder = folder
        self._awaited = awaited
        self._status: int | None = None
        self._kill_at: float | None = None

    def watch(self) -> int:
        """Until the supervisor and all that it left have ended; the supervisor's wait status."""
        while self._status is None:
            match self._next_signal():
                case signal.SIGCHLD:
                    self._reap()
                case signal.SIGABRT:
                    self._abort()
                case None:
                    self._kill_at = None
                    signal_process(self._supervisor, signal.SIGKILL)
                case _:
                    self._forward()
        self._end_the_rest()
        return self._status

    def _next_signal(self) -> int | None:
        """None: there was none until the supervisor was to be killed."""
        if self._kill_at is None:
            return signal.sigwaitinfo(self._awaited).si_signo
        left = max(0.0, self._kill_at - time.monotonic())
        found = signal.sigtimedwait(self._awaited, left)
        return found and found.si_signo

    def _abort(self) -> None:
        """The service manager takes the supervisor for hung. It prints where it is, if it can."""
        _say("told that the supervisor hangs; ending it")
        self._kill_at = time.monotonic() + ABORT_TIMEOUT
        signal_process(self._supervisor, signal.SIGABRT)

    def _forward(self) -> None:
        # As a message, not a signal: who signals the whole group asks once, not twice.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._line, ASK)

    def _reap(self) -> None:
        """Reap all that has ended."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._supervisor:
                    self._status = found[1]

    def _end_the_rest(self) -> None:
        """Kill and reap, since each that dies may leave us its own children, until none is left."""
        begun = time.monotonic()
        leftovers = Leftovers(self._folder)
        killed = set(leftovers.kill())
        while left := self._left():
            took = time.monotonic() - begun
            if took > TIMEOUT:
                _say(f"these survive SIGKILL: {_listed(left)}")
                return
            doomed = left if took > _HELPER_TIMEOUT else {pid for pid in left if not _helps(pid)}
            for pid in doomed:
                _kill(pid)
            killed |= doomed
            signal.sigtimedwait({signal.SIGCHLD}, _PAUSE)
        killed.update(leftovers.end(TIMEOUT))
        if killed:
            _say(f"the supervisor left processes behind; killed {_listed(killed)}")

    def _left(self) -> set[int]:
        self._reap()
        return set(own_children()) - self._outsiders


def _fill_standard_descriptors() -> None:
    """Whoever started us may have closed some: what is opened next must not take their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _settle_in(line: int, folder: str | None) -> None:
    """Make this process what it is to be: known by name, holder of one pipe and nothing else."""
    if folder:
        setproctitle.setproctitle(f"genvm-manager shim {folder}")
    # The parent-death pipe among them: whoever holds its other end waits for the supervisor only.
    os.closerange(3, line)
    os.closerange(line + 1, os.sysconf("SC_OPEN_MAX"))
    os.set_blocking(line, False)


def state_folder(arguments: Sequence[str]) -> str | None:
    """What the command line, which the supervisor is to parse, names as the state folder."""
    for number, word in enumerate(arguments):
        if word == "--state-dir" and number + 1 < len(arguments):
            return os.path.abspath(arguments[number + 1])
        if word.startswith("--state-dir="):
            return os.path.abspath(word.removeprefix("--state-dir="))
    return None


def _helps(pid: int) -> bool:
    """Whether a process is of our session, as is all that the supervisor starts for itself."""
    try:
        return os.getsid(pid) == os.getsid(0)
    except ProcessLookupError:
        return False


def _kill(pid: int) -> None:
    """SIGKILL a process; a run's with its whole group, so that none forks faster than it dies."""
    if not _helps(pid):
        with suppress(ProcessLookupError):
            signal_group(os.getpgid(pid), signal.SIGKILL)
    signal_process(pid, signal.SIGKILL)


def _end_like(code: int, mask: set[signal.Signals | int]) -> int:
    """The supervisor's exit status; if it was ended by a signal, do not return but end by it."""
    if code >= 0:
        return code
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.kill(os.getpid(), -code)
    # The first process of a container survives that.
    return 128 - code


def _say(line: str) -> None:
    with suppress(OSError):
        print(f"genvm-manager shim: {line}", file=sys.stderr, flush=True)


def _listed(pids: set[int]) -> str:
    return ", ".join(str(pid) for pid in sorted(pids))

"""One worker process, seen from its parent: started, spoken with, signalled, reaped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence

import multiprocess  # type: ignore[import-untyped]
from multiprocess.process import _children as _to_be_reaped  # type: ignore[import-untyped]

from genvm_manager.workers.control.channel import Channel
from genvm_manager.workers.control.messages import FromWorker, Stop, ToWorker, decode_from_worker
from genvm_manager.workers.worker.entry import enter
from genvm_manager.workers.worker.identity import Identity

CLEAR_TIMEOUT = 10.0
"""Seconds in which what a worker has started must be gone after SIGKILL."""

_PAUSE = 0.005
_LONGEST_PAUSE = 0.1

# Our process has threads, which a forked child would miss: a worker starts from nothing.
_spawning = multiprocess.get_context("spawn")


class WorkerProcess:
    """Starts a worker. `receive` gets what it says, `ended` in the end how it ended, in words.

    `gone`: nothing is left of it, nor of what it had started: it leads a process group in our
    session, which ends with it.
    """

    def __init__(
        self,
        identity: Identity,
        receive: Callable[[FromWorker], None],
        ended: Callable[[str], None],
    ) -> None:
        """Raises `OSError` when no process can be started."""
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._timers: list[asyncio.TimerHandle] = []
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _spawning.Process(
                    target=enter, args=(theirs, identity), daemon=True
                )
                self._process.start()
            self.pid: int = self._process.pid
            self._pidfd: int | None = os.pidfd_open(self.pid)
            # Else whoever starts the next one reaps this one, whose pid is then anybody's.
            _to_be_reaped.discard(self._process)
        except BaseException:
            ours.close()
            raise
        self._channel: Channel[FromWorker] = Channel(
            ours, decode_from_worker, lambda message, _: receive(message), self.kill
        )
        self.gone = asyncio.Event()
        self._watching = self._loop.create_task(self._watch(), name=f"worker {self.pid}")

    def send(self, message: ToWorker, descriptors: Sequence[int] = ()) -> None:
        """Say something; the descriptors go along and are closed here."""
        self._channel.send(message, descriptors)

    def stop(self, timeout: float) -> None:
        """Ask it to end; SIGTERM after `timeout` seconds, and SIGKILL after as many again.

        Without timeout it is SIGKILL now. A second stop climbs its own ladder beside the first: it
        can only shorten it.
        """
        if timeout <= 0:
            self.kill()
            return
        self.send(Stop())
        self._later(timeout, signal.SIGTERM)
        self._later(2 * timeout, signal.SIGKILL)

    def kill(self) -> None:
        """End it at once; legal at any time."""
        self._signal(signal.SIGKILL)

    def _later(self, delay: float, number: signal.Signals) -> None:
        self._timers.append(self._loop.call_later(delay, self._signal, number))

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, number)

    async def _watch(self) -> None:
        """Wait for the end, and let nothing be left of it."""
        assert self._pidfd is not None
        await self._readable(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = None
        for timer in self._timers:
            timer.cancel()
        self._channel.drain()
        self._channel.close()
        # The zombie still holds its group's id: nobody else can be hit.
        _kill_group(self.pid)
        exit_code = self._process.exitcode
        self._process.close()
        self._ended(_in_words(exit_code))
        await self._clear_group()
        self.gone.set()

    async def _readable(self, descriptor: int) -> None:
        ended = asyncio.Event()
        self._loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            self._loop.remove_reader(descriptor)

    async def _clear_group(self) -> None:
        """Reap what the worker had started: its orphans are ours."""
        deadline = self._loop.time() + CLEAR_TIMEOUT
        pause = _PAUSE
        while _is_group_left(self.pid) and self._loop.time() < deadline:
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)


def _kill_group(group: int) -> bool:
    """SIGKILL to all of a group; False when it has no members."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_group_left(group: int) -> bool:
    try:
        while os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG) is not None:
            pass
    except ChildProcessError:
        pass
    return _kill_group(group)


def _in_words(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended"
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    return f"was ended by {signal.Signals(-exit_code).name}"

"""The worker process: it opens a module and serves connections, or checks LLM providers once."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import select
import signal
import socket
import threading
from collections.abc import Coroutine, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import setproctitle

from genvm_manager.base.errors import ManagerError, RequestFailed
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.logging.redaction import Redaction
from genvm_manager.base.logging.setup import configure_logging
from genvm_manager.base.logging.shared_level import PERIOD, SharedLevel
from genvm_manager.base.process.signals import settle_signals
from genvm_manager.base.process.threads import loop_threads, start_thread
from genvm_manager.workers.control.channel import Channel
from genvm_manager.workers.control.messages import (
    HEARTBEAT,
    Check,
    Checked,
    Connect,
    Drain,
    Failed,
    Load,
    Logging,
    Open,
    Ready,
    Stop,
    ToWorker,
    decode_to_worker,
)

from .identity import Identity
from .module import Module
from .sessions import Sessions
from .user_error import UserErrorModule

THREAD_TIMEOUT = 30.0
"""Seconds for which a new worker tries to start its threads; it starts none later."""

FLUSH_TIMEOUT = 5.0
"""Seconds for sending the last messages to the pool."""


_PR_SET_DUMPABLE = 4


def work(control: socket.socket, identity: Identity) -> None:
    """Run the worker to its end."""
    _settle_in(control, identity)
    asyncio.run(_live(control, identity))


def _settle_in(control: socket.socket, identity: Identity) -> None:
    """Lead a process group, set the process title, and protect the keys in memory."""
    os.setpgid(0, 0)
    setproctitle.setproctitle(f"genvm-manager {identity.name} worker {identity.place}")
    # A core would have keys in it. The limit is inherited by what we start, but it does not hold
    # where the kernel pipes cores to a program: not being dumpable does.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    # Programs that we start inherit stdin, stdout and stderr only.
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            os.set_inheritable(int(descriptor), int(descriptor) <= 2)
    settle_signals()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watch = threading.Thread(target=_end_with, args=(os.dup(control.fileno()),), daemon=True)
    start_thread(watch, THREAD_TIMEOUT)


def _end_with(control: int) -> None:
    """End this process and all that it has started when the supervisor is gone.

    It runs in a thread, so that it works while the event loop is busy.
    """
    poll = select.poll()
    poll.register(control, select.POLLRDHUP)
    poll.poll()
    _end_group()


def _end_group() -> None:
    os.killpg(0, signal.SIGKILL)


async def _live(control: socket.socket, identity: Identity) -> None:
    asyncio.get_running_loop().set_default_executor(loop_threads(THREAD_TIMEOUT))
    await WorkerLife(control, identity).run()
    # asyncio.run would wait for threads, and one may hang in a look-up of a name: nothing is left
    # to be done.
    logging.shutdown()
    os._exit(0)


class _Options(NamedTuple):
    allow_empty_backends: bool
    tells_of_config: bool
    unset_variables: Mapping[str, str]


class WorkerLife:
    """Carries out the pool's messages, from `Open` or `Check` to `Stop`."""

    def __init__(self, control: socket.socket, identity: Identity) -> None:
        self._name = identity.name
        self._log = event_log(f"genvm_manager.workers.{identity.name}")
        self._channel: Channel[ToWorker] = Channel(
            control, decode_to_worker, self._receive, _end_group
        )
        self._redaction: Redaction | None = None
        self._task: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._module: Module | None = None
        self._sessions: Sessions | None = None
        self._servers: list[Any] = []
        self._is_report_due = False
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Work until told to stop, or until a check is done."""
        beating = asyncio.ensure_future(self._beat())
        await self._stopped.wait()
        beating.cancel()
        await self._close()
        await self._channel.flush(FLUSH_TIMEOUT)

    # ------------------------------------------------------------------ messages from the pool

    def _receive(self, message: ToWorker, sockets: list[socket.socket]) -> None:
        match message:
            case Open():
                self._redaction = self._configure(message.logging, "worker")
                self._begin(self._open(message, sockets))
            case Check():
                self._redaction = self._configure(message.logging, "check")
                self._begin(self._check(message))
            case Connect() if self._sessions is not None:
                self._sessions.take(*sockets)
            case Drain():
                self._stop_listening()
            case Stop():
                self._stopped.set()

    def _configure(self, wanted: Logging, role: str) -> Redaction:
        process = f"{self._name} {role}"
        redaction = configure_logging(process, wanted.form, wanted.level, wanted.secrets)
        level = SharedLevel(Path(wanted.state_folder), wanted.level)
        level.refresh()
        self._following = asyncio.create_task(_follow(level))
        return redaction

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(self._report_failure(work))

    async def _report_failure(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what the pool waits for, or send why that cannot be done and end."""
        try:
            await work
        except ManagerError as error:
            self._fail(error)
        except Exception:
            self._log.failure("worker_failed")
            self._fail(RequestFailed(f"the {self._name} module failed; its log says more"))

    def _fail(self, error: ManagerError) -> None:
        text = self._redaction.text(error.message) if self._redaction else error.message
        self._channel.send(Failed(error.code, text))
        self._stopped.set()

    async def _open(self, order: Open, listening: list[socket.socket]) -> None:
        open_module = _attribute(order.module, "open_module", self._name)
        # A module whose requests all fail needs no backends.
        allow_empty = order.allow_empty_backends or order.user_error
        options = _Options(allow_empty, order.tells_of_config, order.unset_variables)
        self._module = await open_module(msgspec.json.decode(order.config), options, self._log)
        if order.user_error:
            self._module = UserErrorModule(self._module)
        self._sessions = Sessions(self._module, self._log, self._report)
        await self._listen(self._sessions, listening)
        self._channel.send(Ready(self._module.shortage))

    async def _check(self, order: Check) -> None:
        check = _attribute(order.module, "check", self._name)
        self._channel.send(
            Checked(await check(order.configs, order.prompts, order.status_only, order.proxy))
        )
        self._stopped.set()

    # ------------------------------------------------------------------------- connections

    async def _listen(self, sessions: Sessions, listening: list[socket.socket]) -> None:
        if listening:
            # A worker that listens nowhere does not pay for the WebSocket server's memory.
            from .websocket_frames import listen  # noqa: PLC0415

            for each in listening:
                self._servers.append(await listen(each, sessions.handle, sessions.has_room))

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close(close_connections=False)
        self._servers.clear()

    def _report(self) -> None:
        """Send the load to the pool, once for all that changes in one turn of the event loop."""
        if not self._is_report_due:
            self._is_report_due = True
            asyncio.get_running_loop().call_soon(self._report_now)

    def _report_now(self) -> None:
        self._is_report_due = False
        sessions = self._sessions
        load = Load(sessions.count, sessions.taken) if sessions else Load(sessions=0, taken=0)
        self._channel.send(load)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            self._report_now()

    async def _close(self) -> None:
        self._stop_listening()
        if self._task is not None and self._task.cancel():
            await asyncio.wait({self._task})
        if self._sessions is not None:
            await self._sessions.end_all()
        if self._module is not None:
            await self._module.close()


async def _follow(level: SharedLevel) -> None:
    """Take each new log level of the service, until cancelled."""
    while True:
        await asyncio.sleep(PERIOD)
        level.refresh()


def _attribute(module: str, attribute: str, name: str) -> Any:
    """Return an attribute of the dotted `module`. Raises `RequestFailed` when that is not there."""
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise RequestFailed(f"the {name} module is not installed") from None

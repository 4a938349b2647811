"""Following the log level that the supervisor holds for every process of ours."""

from __future__ import annotations

import mmap
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from genvm_manager.base.errors import ManagerError
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.logging.setup import set_level
from genvm_manager.base.process.threads import start_thread
from genvm_manager.manager.ipc_client.connection import ANSWER_GRACE, Connection
from genvm_manager.protocol.ipc.commands import WatchLogLevel
from genvm_manager.protocol.ipc.replies import Failure, LogLevel

WAIT = 60.0
"""Seconds that the supervisor waits for a change before it answers all the same."""

PAUSE = 1.0
"""Seconds between two attempts to reach a supervisor."""

log = event_log(__name__)


_ORDER: tuple[Level, ...] = ("trace", "debug", "info", "warn", "error")


class SharedLevel:
    """A level that a process has in common with those that it forks."""

    def __init__(self, level: Level) -> None:
        self._byte = mmap.mmap(-1, 1)
        self.level = level

    @property
    def level(self) -> Level:
        return _ORDER[self._byte[0]]

    @level.setter
    def level(self, level: Level) -> None:
        self._byte[0] = _ORDER.index(level)


def put_in_force(level: Level) -> None:
    """Have this process log by a new level, and say so."""
    set_level(level)
    log.info("log_level_set", to=level)


class LogLevelWatch:
    """A thread that hands each new level to `tell`, until `close`; not for a process that forks.

    While there is no supervisor the level stays; the next one begins with the configured level,
    and so do we then.
    """

    def __init__(
        self,
        supervisor: Path,
        process: str,
        level: Level,
        tell: Callable[[Level], None] = put_in_force,
        begin: Callable[[Connection], None] | None = None,
    ) -> None:
        """`supervisor` is its socket; `level` is in force here now. `begin` is called with each
        new connection before the first wait for a change."""
        self._path = supervisor
        self._tell = tell
        self._begin = begin
        self._name = f"log level of {process}"
        self._level = level
        self._connection: Connection | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log-level", daemon=True)

    def start(self, timeout: float = 0.0) -> None:
        """Begin. Signals stay with the threads that there are: they must wake the main one.

        Raises `OSError` when the system has had no thread to spare for `timeout` seconds.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            start_thread(self._thread, timeout)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def close(self) -> None:
        """End the thread."""
        self._is_over.set()
        connection = self._connection
        if connection is not None:
            connection.abort()
        if self._thread.is_alive():
            self._thread.join(PAUSE)

    def _follow(self) -> None:
        while not self._is_over.is_set():
            try:
                self._connection = Connection(self._path, self._name)
                if self._begin is not None:
                    self._begin(self._connection)
                while not self._is_over.is_set():
                    self._take(self._connection)
            except ManagerError as error:
                log.debug("log_level_not_followed", reason=error.message)
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._is_over.wait(PAUSE)

    def _take(self, connection: Connection) -> None:
        reply = connection.ask(WatchLogLevel(self._level, WAIT), WAIT + ANSWER_GRACE)
        if isinstance(reply, Failure):
            raise reply.error()
        if not isinstance(reply, LogLevel):
            raise ManagerError(f"the supervisor answered {type(reply).__name__}")
        if reply.level != self._level:
            self._level = reply.level
            self._tell(reply.level)


@contextmanager
def following_log_level(supervisor: Path, process: str, level: Level) -> Iterator[None]:
    """Follow the level while the context is entered, if there is a thread for it."""
    watch = LogLevelWatch(supervisor, process, level)
    try:
        watch.start()
    except OSError as error:
        log.warning("log_level_not_followed", reason=error.strerror)
    try:
        yield
    finally:
        watch.close()

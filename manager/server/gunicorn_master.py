"""gunicorn's master as this service needs it: no thread, and reloads that no client notices."""

from __future__ import annotations

import mmap
import os
import signal
import socket
from typing import Any

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.systemd import sd_notify  # type: ignore[import-untyped]

from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.process.signals import is_ignored
from genvm_manager.base.settings.http import SettingsUnusable
from genvm_manager.manager.ipc_client.log_level import SharedLevel, put_in_force

from .gunicorn_worker import RETIRE, STOPS, TOLD

MOST_RETIRED = 4
"""Reloads whose workers may still be busy with what they had begun; then the oldest are stopped,
and who waits there is told to come again."""

log = event_log(__name__)


class Loaded:
    """Memory in which workers note for their master that the application is there."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def note(self) -> None:
        """In a worker. The master looks at once."""
        self._byte[0] = 1
        os.kill(os.getppid(), signal.SIGCHLD)

    def __bool__(self) -> bool:
        return self._byte[0] == 1


class Master(Arbiter):  # type: ignore[misc]
    """Forks workers, so it has no thread: a child would find its locks as they happened to be held.

    It is told the level by its workers, who follow the supervisor, through `shared`, and through
    `loaded` that they serve. Its application has `reload()`, which reads the settings anew or
    raises `SettingsUnusable`, and `renewed_listener()`.
    """

    def __init__(self, app: Any, shared: SharedLevel, loaded: Loaded) -> None:
        super().__init__(app)
        self._shared = shared
        self._loaded = loaded
        self._is_announced = False
        self._level = shared.level
        self._is_reload_due = False
        self._reloads = 0

    def start(self) -> None:
        """gunicorn would tell the service manager that we are ready, before there is a worker."""
        service_manager = os.environ.pop("NOTIFY_SOCKET", None)
        super().start()
        if service_manager is not None:
            os.environ["NOTIFY_SOCKET"] = service_manager

    def init_signals(self) -> None:
        """At the start. What asks to stop stays ignored where it was; SIGTERM never is."""
        ignored = [number for number in STOPS if is_ignored(number)]
        self.SIGNALS = [number for number in Arbiter.SIGNALS if number not in ignored]
        super().init_signals()

    def handle_hup(self) -> None:
        """SIGHUP. Many at once are one."""
        self._is_reload_due = True

    def murder_workers(self) -> None:
        """At each turn of the main loop, about once a second, and after each signal."""
        super().murder_workers()
        self._tell_service_manager()
        level = self._shared.level
        if level != self._level:
            self._level = level
            put_in_force(level)
        if self._is_reload_due:
            self._is_reload_due = False
            self.reload()

    def _tell_service_manager(self) -> None:
        if self._loaded and not self._is_announced:
            self._is_announced = True
            sd_notify(f"READY=1\nSTATUS=on {' and '.join(map(str, self.LISTENERS))}", self.log)
        sd_notify("WATCHDOG=1", self.log)

    def reload(self) -> None:
        """Have all workers retire; those that come in their place have the settings of now."""
        is_renewed = self._take_listener()
        try:
            self.app.reload()
        except SettingsUnusable as error:
            log.error("reload_refused", reason=str(error))
            if not is_renewed:
                return
        self._reloads += 1
        self.setup(self.app)
        for worker in self._serving():
            worker.retired_by = self._reloads
        log.info("reloaded", workers=self.num_workers)

    def _take_listener(self) -> bool:
        """Have the workers to come listen on a Unix socket that was made again, if one was."""
        renewed = self.app.renewed_listener()
        if renewed is None:
            return False
        with renewed:
            for listener in self.LISTENERS:
                if listener.sock.family == socket.AF_UNIX:
                    os.dup2(renewed.fileno(), listener.sock.fileno(), inheritable=False)
        return True

    def manage_workers(self) -> None:
        """At the start and at each turn: as many as are wanted serve, all others retire."""
        for _ in range(self.num_workers - len(self._serving())):
            try:
                self.spawn_worker()
            except OSError as error:
                if not is_exhaustion(error):
                    raise
                # The next turn of the main loop tries again.
                log.warning("worker_not_started", reason=error.strerror)
                break
        serving = self._serving()
        for worker in serving[: max(0, len(serving) - self.num_workers)]:
            worker.retired_by = self._reloads
        for worker in list(self.WORKERS.values()):
            if worker.retired_by is not None:
                is_over = worker.retired_by <= self._reloads - MOST_RETIRED
                self.kill_worker(worker.pid, signal.SIGTERM if is_over else RETIRE)

    def spawn_worker(self) -> Any:
        """Fork a worker. What is sent to it before it listens to signals waits until it does."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, TOLD)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _serving(self) -> list[Any]:
        """The workers that take new connections, oldest first."""
        return [worker for worker in self.WORKERS.values() if worker.retired_by is None]

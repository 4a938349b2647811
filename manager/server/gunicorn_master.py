"""gunicorn's master as this service needs it: no thread, and reloads that no client notices."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any, Protocol

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.errors import HaltServer  # type: ignore[import-untyped]

from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.process.sd_notify import sd_notify
from genvm_manager.base.process.signals import is_ignored
from genvm_manager.base.settings.http import SettingsUnusable

from .gunicorn_worker import MASTER_SIGNALS, RETIRE, TERMINAL_SIGNALS
from .shared_flag import SharedFlag

MOST_RETIRED = 4
"""Reloads whose workers may still be busy with what they had begun; then the oldest are stopped,
and requests that wait there get 503."""

TURN = 1.0
"""Seconds between two turns of the main loop; a signal begins one at once."""

log = event_log(__name__)


class Reloadable(Protocol):
    """What a master needs of its application, beyond what gunicorn does."""

    cfg: Any
    level: SharedLevel

    def reload(self) -> None:
        """Read the settings anew. Raises `SettingsUnusable`, and then changes nothing."""

    def offer_level(self) -> None:
        """Have the level of the settings put in force in every process."""

    def renewed_listener(self) -> socket.socket | None:
        """Return a Unix socket that had to be made again since the last call."""


class Master(Arbiter):  # type: ignore[misc]
    """Forks workers, so it has no thread: a child would find its locks as they happened to be held.

    Nothing in its loop waits for another process: while it waits, no worker that has died is
    replaced and no watchdog is told. What needs the supervisor is done by workers, which have
    threads; they set `has_loaded`, in shared memory, once one serves.
    """

    def __init__(self, app: Reloadable, has_loaded: SharedFlag) -> None:
        """Take NOTIFY_SOCKET out of the environment, so that only this class uses it."""
        super().__init__(app)
        # gunicorn would report READY before there is a worker.
        self._service_manager = os.environ.pop("NOTIFY_SOCKET", None)
        self._has_loaded = has_loaded
        self._is_announced = False
        self._is_reload_due = False
        self._reloads = 0

    # ---------------------------------------------------------------------------- the main loop

    def run(self) -> None:
        """Serve until a signal ends it; then exit, with gunicorn's exit codes.

        It stands in for gunicorn's loop, of which it leaves out what is not used here: a master
        that replaces itself, dirty workers and the control socket.
        """
        self.start()
        try:
            self.manage_workers()
            while True:
                for number in self.wait_for_signals(timeout=TURN):
                    self._handle(signal.Signals(number))
                self.take_turn()
        except (StopIteration, KeyboardInterrupt):
            # gunicorn's handlers of SIGTERM, SIGINT and SIGQUIT raise StopIteration.
            self.halt()
        except HaltServer as halt:
            self.halt(reason=halt.reason, exit_status=halt.exit_status)
        except Exception as error:
            log.failure("http_master_failed", error)
            self.stop(False)
            sys.exit(-1)

    def take_turn(self) -> None:
        """Do all that is due, in this order: about once a second, and after each signal."""
        # gunicorn's: ends the workers whose heartbeat has stopped.
        self.murder_workers()
        self._tell_service_manager()
        self.app.level.refresh()
        self._reload_if_due()
        self.manage_workers()

    def _handle(self, number: signal.Signals) -> None:
        """Call gunicorn's handler of a signal that it has queued."""
        getattr(self, f"handle_{number.name.removeprefix('SIG').lower()}")()

    def _tell_service_manager(self) -> None:
        message = "WATCHDOG=1"
        if self._has_loaded and not self._is_announced:
            self._is_announced = True
            addresses = " and ".join(map(str, self.LISTENERS))
            message = f"READY=1\nSTATUS=on {addresses}\n{message}"
        sd_notify(self._service_manager, message)

    def _reload_if_due(self) -> None:
        if self._is_reload_due:
            self._is_reload_due = False
            self.reload()

    # ---------------------------------------------------------------------------------- signals

    def init_signals(self) -> None:
        """Handle signals, but those to stop that were ignored at the start; SIGTERM never is."""
        ignored = [number for number in TERMINAL_SIGNALS if is_ignored(number)]
        self.SIGNALS = [number for number in Arbiter.SIGNALS if number not in ignored]
        super().init_signals()
        # It was held since the start.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def handle_hup(self) -> None:
        """Reload in this turn; many SIGHUP at once are one."""
        self._is_reload_due = True

    def handle_usr2(self) -> None:
        """Ignore SIGUSR2, by which gunicorn starts a second master; `serve` restarts this one."""
        log.warning("signal_ignored", signal="SIGUSR2")

    # ----------------------------------------------------------------------------------- reload

    def reload(self) -> None:
        """Have all workers retire, and their successors take over the settings as they are now."""
        is_renewed = self._take_listener()
        try:
            self.app.reload()
        except SettingsUnusable as error:
            log.error("reload_refused", reason=str(error))
            if not is_renewed:
                return
        if not is_renewed:
            # Otherwise it is `serve` that asks, and not for the sake of the settings.
            self.app.offer_level()
        self._reloads += 1
        self.setup(self.app)
        for worker in self._serving():
            worker.retired_by = self._reloads
        log.info("reloaded", workers=self.num_workers)

    def _take_listener(self) -> bool:
        """Have the next workers listen on a Unix socket that was made again; False if none was."""
        renewed = self.app.renewed_listener()
        if renewed is None:
            return False
        with renewed:
            for listener in self.LISTENERS:
                if listener.sock.family == socket.AF_UNIX:
                    # The number stays, so that gunicorn's own object goes on meaning it.
                    os.dup2(renewed.fileno(), listener.sock.fileno(), inheritable=False)
        return True

    # ---------------------------------------------------------------------------------- workers

    def manage_workers(self) -> None:
        """Have as many workers serve as are wanted, and all others retire."""
        self._start_missing()
        serving = self._serving()
        for worker in serving[: max(0, len(serving) - self.num_workers)]:
            worker.retired_by = self._reloads
        for worker in list(self.WORKERS.values()):
            if worker.retired_by is not None:
                is_over = worker.retired_by <= self._reloads - MOST_RETIRED
                self.kill_worker(worker.pid, signal.SIGTERM if is_over else RETIRE)

    def _start_missing(self) -> None:
        for _ in range(self.num_workers - len(self._serving())):
            try:
                self.spawn_worker()
            except OSError as error:
                if not is_exhaustion(error):
                    raise
                # The next turn tries again.
                log.warning("worker_not_started", reason=error.strerror)
                return

    def spawn_worker(self) -> Any:
        """Fork a worker; return its pid.

        The signals that it is sent are blocked until it has its handlers: before that, their
        defaults would end it.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _serving(self) -> list[Any]:
        """Return the workers that take new connections, oldest first."""
        return [worker for worker in self.WORKERS.values() if worker.retired_by is None]

"""Handing a log level that a reload of HTTP has brought to the supervisor, for all processes."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from genvm_manager.base.errors import ManagerError
from genvm_manager.base.logging.event_log import event_log
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.process.threads import start_thread
from genvm_manager.manager.ipc_client.connection import ANSWER_GRACE, Connection
from genvm_manager.protocol.ipc.commands import SetLogLevel
from genvm_manager.protocol.ipc.replies import Failure

from .shared_flag import SharedFlag

PAUSE = 1.0
"""Seconds between two attempts to reach the supervisor."""

log = event_log(__name__)


class LogLevelOffer:
    """A thread of a worker that offers `level` until the supervisor has answered, or `close`.

    The worker serves meanwhile. `is_due`, which the master has set for this reload, is cleared by
    the first that succeeds, and by the next reload; no worker offers the level after that.
    """

    def __init__(self, supervisor: Path, level: Level, is_due: SharedFlag) -> None:
        """`supervisor` is its socket."""
        self._path = supervisor
        self._level = level
        self._is_due = is_due
        self._is_closed = threading.Event()

    def start(self) -> None:
        """Begin, if the level is due and the system has a thread for it."""
        if not self._is_due:
            return
        try:
            start_thread(threading.Thread(target=self._offer, name="log-level", daemon=True))
        except OSError as error:
            log.warning("log_level_not_offered", reason=error.strerror)

    def close(self) -> None:
        """Offer it no more."""
        self._is_closed.set()

    def _offer(self) -> None:
        command = SetLogLevel(self._level, is_configured=True)
        while self._is_due and not self._is_closed.is_set():
            try:
                with closing(Connection(self._path, "http worker")) as connection:
                    reply = connection.ask(command, ANSWER_GRACE)
            except ManagerError:
                self._is_closed.wait(PAUSE)
                continue
            if isinstance(reply, Failure):
                log.warning("log_level_not_offered", reason=reply.message)
            self._is_due.clear()
            return

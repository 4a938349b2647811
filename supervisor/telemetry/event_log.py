"""Our log: events with fields, one line each on stderr, for people or for machines."""

from __future__ import annotations

import logging
import sys
from typing import Any

from genvm_manager.base.logging.lines import LEVELS, Form, Level, formatter


class EventLog:
    """Writes events: `log.info("run_finished", run=5, cause="exited")`.

    A field holds what may be read by anyone who may read the log: never a secret.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def set_level(self, level: Level) -> None:
        """From now on, write what is at least as grave as `level`."""
        self._logger.setLevel(LEVELS[level])

    def write(self, level: int, event: str, **fields: Any) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"fields": fields})

    def debug(self, event: str, **fields: Any) -> None:
        self.write(logging.DEBUG, event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        self.write(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.write(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self.write(logging.ERROR, event, **fields)

    def failure(self, event: str, **fields: Any) -> None:
        """An error that should not be, with the traceback of the exception at hand."""
        self._logger.error(event, exc_info=True, extra={"fields": fields})


def open_event_log(level: Level, form: Form) -> EventLog:
    """The log of this process at `level`."""
    # A log that cannot be written must not fill stderr as well; and our lines do not show the
    # caller, the thread and the process, which are costly to find out.
    logging._srcfile = None
    logging.raiseExceptions = False
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form, "supervisor"))
    logger = logging.getLogger("genvm_manager.supervisor")
    logger.handlers = [handler]
    logger.propagate = False
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_logger.handlers = [handler]
    asyncio_logger.propagate = False
    log = EventLog(logger)
    log.set_level(level)
    return log

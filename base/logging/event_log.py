"""How every process of ours writes its log: `log.info("run_finished", run=5, cause="exited")`."""

from __future__ import annotations

import logging
from typing import Any


class EventLog:
    """Writes events with fields.

    A field holds what may be read by anyone who may read the log: never a secret.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def write(self, level: int, event: str, /, **fields: Any) -> None:
        """Write an event at one of Python's numeric levels."""
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"fields": fields})

    def debug(self, event: str, /, **fields: Any) -> None:
        """Write an event that only somebody who looks for a fault wants to read."""
        self.write(logging.DEBUG, event, **fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Write an event of normal operation."""
        self.write(logging.INFO, event, **fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Write an event that somebody should look at some day."""
        self.write(logging.WARNING, event, **fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Write an event that costs somebody something now."""
        self.write(logging.ERROR, event, **fields)

    def failure(self, event: str, error: BaseException | None = None, /, **fields: Any) -> None:
        """Write an error that should not be, with the traceback of `error`.

        Without `error` it is that of the exception that is being handled.
        """
        self._logger.error(event, exc_info=error or True, extra={"fields": fields})


def event_log(name: str) -> EventLog:
    """Return the log of a module of ours, by its `__name__`."""
    return EventLog(logging.getLogger(name))

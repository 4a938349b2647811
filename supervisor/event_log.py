"""Our log: events with fields, one line each on stderr, for people or for machines."""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec

from protocol.timestamps import to_rfc3339

TRACE = 5
LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_NAMES = {number: name for name, number in LEVELS.items()}


class EventLog:
    """Writes events: `log.info("run_finished", run=5, cause="exited")`.

    A field holds what may be read by anyone who may read the log: never a secret.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

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


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time`, `level`, `event`, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": to_rfc3339(record.created),
            "level": _NAMES.get(record.levelno, "info"),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class ConsoleFormatter(logging.Formatter):
    """`time level event name=value …`; a value with spaces or control characters is quoted."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        parts = [to_rfc3339(record.created), _NAMES.get(record.levelno, "info")]
        parts.append(record.getMessage())
        parts += [f"{name}={_plain(value)}" for name, value in fields.items() if value is not None]
        line = " ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)


def open_event_log(level: str, form: str) -> EventLog:
    """The log of this process at `level` (a key of `LEVELS`), `form` is `json` or `console`."""
    # A log that cannot be written must not fill stderr as well; and our lines do not show the
    # caller, the thread and the process, which are costly to find out.
    logging._srcfile = None
    logging.raiseExceptions = False
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    logger = logging.getLogger("supervisor")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(LEVELS[level])
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_logger.handlers = [handler]
    asyncio_logger.propagate = False
    return EventLog(logger)

"""How the HTTP processes log: one line per event on stderr, as the supervisor's lines look."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import msgspec
from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]

from protocol.timestamps import to_rfc3339

LEVELS = {"trace": "DEBUG", "debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
"""The configuration's words for Python's."""


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: `time level event process pid`, `traceback` of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": to_rfc3339(record.created),
            "level": _level(record),
            "event": record.getMessage(),
            "process": "http",
            "pid": record.process,
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(event).decode()


class ConsoleFormatter(logging.Formatter):
    """`time level event process=http pid=…`, and the traceback of an exception below."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{to_rfc3339(record.created)} {_level(record)} {record.getMessage()}"
        line = f"{head} process=http pid={record.process}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _level(record: logging.LogRecord) -> str:
    return "warn" if record.levelno == logging.WARNING else record.levelname.lower()


class JoinedLogger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's messages go where all others go; requests that went well are not logged."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """An error with its traceback; a client that was too slow is none of ours."""
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.debug("a client was too slow; its connection is closed")
        else:
            super().exception(msg, *args, **kwargs)


def configure_logging(level: str, form: Literal["console", "json"]) -> None:
    """Set up this process and those that it forks; `level` as the configuration spells it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)

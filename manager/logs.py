"""How the HTTP processes log: one line per event on stderr, for people or as JSON."""

from __future__ import annotations

import logging
from typing import Any, Literal

import msgspec
from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]

from protocol.timestamps import to_rfc3339

LEVELS = {"trace": "DEBUG", "debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
"""The configuration's words for Python's."""

_CONSOLE = "%(asctime)s %(levelname)s http[%(process)d] %(message)s"


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: `time level logger pid message`, and `trace` of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": to_rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(event).decode()


class JoinedLogger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's messages go where all others go; requests that went well are not logged."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True


def configure_logging(level: str, form: Literal["console", "json"]) -> None:
    """Set up this process and those that it forks; `level` as the configuration spells it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_CONSOLE))
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)

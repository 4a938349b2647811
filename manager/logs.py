"""How the HTTP processes log: one line per event on stderr, for people or as JSON."""

from __future__ import annotations

import logging
from typing import Any, Literal

import msgspec

from protocol.timestamps import to_rfc3339

_LEVELS = {"trace": "DEBUG", "debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}


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


def logging_settings(level: str, form: Literal["console", "json"]) -> dict[str, Any]:
    """What `logging.config.dictConfig` takes; gunicorn's own loggers join in."""
    joined = {"handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "console": {"format": "%(asctime)s %(levelname)s http[%(process)d] %(message)s"},
            "json": {"()": JsonFormatter},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": form,
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": _LEVELS[level], "handlers": ["stderr"]},
        "loggers": {"gunicorn.error": joined, "gunicorn.access": joined},
    }

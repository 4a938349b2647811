"""How the HTTP processes and `serve` log: one line per event on stderr, in `protocol`'s form."""

from __future__ import annotations

import logging
import sys
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]

from protocol.log_lines import LEVELS, Form, Level, formatter

_OURS = logging.getLogger("manager")


class JoinedLogger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's messages go where all others go; requests that went well are not logged."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True
        _level_gunicorn(_OURS.level)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """An error with its traceback; a client that was too slow is none of ours."""
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.debug("a client was too slow; its connection is closed")
        else:
            super().exception(msg, *args, **kwargs)


def configure_logging(level: Level, form: Form, process: str) -> None:
    """Set up this process, which its lines call `process`, and those that it forks."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form, process))
    logging.basicConfig(handlers=[handler], force=True)
    # A log that cannot be written must not fill stderr as well.
    logging.raiseExceptions = False
    set_level(level)


def set_level(level: Level) -> None:
    """From now on, write what is at least as grave as `level`; of libraries, warnings at most."""
    number = LEVELS[level]
    _OURS.setLevel(number)
    logging.getLogger().setLevel(max(number, logging.WARNING))
    _level_gunicorn(number)


def _level_gunicorn(number: int) -> None:
    # What gunicorn thinks worth an info line is of interest to nobody else.
    logging.getLogger("gunicorn.error").setLevel(
        logging.WARNING if number == logging.INFO else number
    )

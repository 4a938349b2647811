"""How the HTTP processes and `serve` log: one line per event on stderr, in `protocol`'s form."""

from __future__ import annotations

import logging

from .lines import LEVELS, Form, Level, formatter

OURS = logging.getLogger("genvm_manager")


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
    OURS.setLevel(number)
    logging.getLogger().setLevel(max(number, logging.WARNING))
    level_gunicorn(number)


def level_gunicorn(number: int) -> None:
    """Log of gunicorn what is at least as grave as `number`."""
    # What gunicorn thinks worth an info line is of interest to nobody else.
    logging.getLogger("gunicorn.error").setLevel(
        logging.WARNING if number == logging.INFO else number
    )

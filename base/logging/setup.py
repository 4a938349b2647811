"""The one set-up of logging for every process of ours: one line per event, on stderr."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from .lines import LEVELS, Form, Level, formatter
from .redaction import Redaction

OURS = logging.getLogger("genvm_manager")


def configure_logging(
    process: str, form: Form, level: Level, secrets: Iterable[str] = (), *, shows_pid: bool = True
) -> Redaction:
    """Set up this process, which its lines call `process`, and those that it forks.

    Returns what takes the `secrets` out of each line; it does the same for other texts.
    """
    redaction = Redaction(formatter(form, process), secrets)
    handler = logging.StreamHandler()
    handler.setFormatter(redaction)
    logging.basicConfig(handlers=[handler], force=True)
    # A log that cannot be written must not fill stderr as well.
    logging.raiseExceptions = False
    # Our lines show neither the caller nor the thread, which are costly to find out. `_srcfile` is
    # private to the library, and documented for this purpose in its HOWTO ("Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    setattr(logging, "logAsyncioTasks", False)  # noqa: B010 - Python 3.11 has no such name
    logging.logProcesses = shows_pid
    set_level(level)
    return redaction


def set_level(level: Level) -> None:
    """Write what is at least as grave as `level`; of libraries, warnings and graver ones alone."""
    number = LEVELS[level]
    OURS.setLevel(number)
    logging.getLogger().setLevel(max(number, logging.WARNING))

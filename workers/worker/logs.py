"""How workers log: one line per event on stderr, in which no secret stands."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from genvm_manager.base.logging.lines import LEVELS, Level, formatter
from genvm_manager.base.text.secret import SHORTEST, without_secrets
from genvm_manager.workers.control.messages import Logging

_OURS = logging.getLogger("genvm_manager.workers")


class Redaction(logging.Formatter):
    """Takes secrets out of what another formatter makes, and out of other texts."""

    def __init__(self, inner: logging.Formatter, secrets: Iterable[str]) -> None:
        super().__init__()
        self._inner = inner
        self._secrets = {each for secret in secrets for each in _spellings(secret.strip())}

    def format(self, record: logging.LogRecord) -> str:
        return self.text(self._inner.format(record))

    def text(self, text: str) -> str:
        """`text` without secrets."""
        return without_secrets(text, self._secrets)


def configure_logging(wanted: Logging, process: str) -> Redaction:
    """Set up this process, which its lines call `process`; gives what it takes secrets out with."""
    redaction = Redaction(formatter(wanted.form, process), wanted.secrets)
    handler = logging.StreamHandler()
    handler.setFormatter(redaction)
    logging.basicConfig(handlers=[handler], force=True)
    # A log that cannot be written must not fill stderr as well.
    logging.raiseExceptions = False
    set_level(wanted.level)
    return redaction


def set_level(level: Level) -> None:
    """From now on, write what is at least as grave as `level`; of libraries, warnings at most."""
    number = LEVELS[level]
    _OURS.setLevel(number)
    logging.getLogger().setLevel(max(number, logging.WARNING))


def _spellings(secret: str) -> set[str]:
    """A secret as it stands in a text, in JSON and in Python's own notation."""
    if len(secret) < SHORTEST:
        return set()
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], repr(secret.encode())[2:-1]}

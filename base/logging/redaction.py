"""Taking secrets out of log lines, of libraries too."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from genvm_manager.base.text.secret import SHORTEST, without_secrets


class Redaction(logging.Formatter):
    """Takes secrets out of what another formatter makes, and out of other texts."""

    def __init__(self, inner: logging.Formatter, secrets: Iterable[str]) -> None:
        super().__init__()
        self._inner = inner
        self._secrets = {each for secret in secrets for each in _spellings(secret.strip())}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, without secrets."""
        return self.text(self._inner.format(record))

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        return without_secrets(text, self._secrets)


def _spellings(secret: str) -> set[str]:
    """Return a secret as it stands in a text, in JSON and in Python's own notation."""
    if len(secret) < SHORTEST:
        return set()
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], repr(secret.encode())[2:-1]}

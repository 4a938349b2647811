"""The executor's log: JSON lines on the descriptor of `--log-fd` (spec 04, command line)."""

from __future__ import annotations

import json
import os

MAX_MESSAGE = 16 << 10
"""Characters of one message that are kept."""


class Log:
    """Writes records; one that nobody reads is dropped, for a log may not change a run."""

    def __init__(self, descriptor: int | None, debug: bool) -> None:
        self._descriptor = descriptor
        self._debug = debug

    def debug(self, message: str, **fields: object) -> None:
        """For whoever measures or searches a fault."""
        if self._debug:
            self._write("debug", message, fields)

    def info(self, message: str, **fields: object) -> None:
        """What is worth reading in a run that went well."""
        self._write("info", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Why a run did not go well."""
        self._write("error", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        record = {"level": level, "message": message[:MAX_MESSAGE], **fields}
        try:
            os.write(self._descriptor, json.dumps(record).encode() + b"\n")
        except OSError:
            self._descriptor = None

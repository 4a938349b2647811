"""The executor's log: JSON lines on the descriptor of `--log-fd`.

Source: docs/spec/04-executor.md#command-line.
"""

from __future__ import annotations

import json
import os

MAX_MESSAGE = 16 << 10
"""Characters of one message that are kept."""

MAX_OF_CONTRACT = 64 << 20
"""Characters that a contract can have written here in one run; more is dropped."""

UNFORESEEN = "an unforeseen fault of the executor"

_RECORD = 100
"""Characters around a message."""

_FRAMES = 30
"""Frames of a traceback that are written down, the innermost ones."""


class Log:
    """Writes records. A record that nobody reads is dropped: a log must not change a run."""

    def __init__(self, descriptor: int | None, debug: bool) -> None:
        self._descriptor = descriptor
        self._debug = debug
        self._left_to_contract = MAX_OF_CONTRACT

    def debug(self, message: str, **fields: object) -> None:
        """Log what helps to measure a run or to find a fault; only with `--debug-mode`."""
        if self._debug:
            self._write("debug", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Log what an operator should mend, though the run goes well."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Log why a run did not go well."""
        self._write("error", message, fields)

    def of_contract(self, level: str, message: str, **fields: object) -> None:
        """Log what a contract says or does. After `MAX_OF_CONTRACT` characters, drop the rest."""
        if self._left_to_contract < 0:
            return
        self._left_to_contract -= _RECORD + len(message[:MAX_MESSAGE])
        if self._left_to_contract < 0:
            level, message = "warn", "the contract has logged too much: the rest is dropped"
        self._write(level, message, fields)

    def fault(self, error: BaseException) -> None:
        """Log a fault of ours, with its traceback.

        The supervisor keeps the traceback from clients. What the error says may name files of this
        machine, so it stands in the traceback alone.
        """
        try:
            import traceback  # noqa: PLC0415 (no run that goes well needs it)

            way = "".join(traceback.format_exception(error, limit=-_FRAMES))[-MAX_MESSAGE:]
            self.error(f"{UNFORESEEN}: {type(error).__name__}", traceback=way)
        except Exception:  # Out of memory, or an error that cannot be written down.
            self.error(f"{UNFORESEEN}: {type(error).__name__}")

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        record = {"level": level, "message": message[:MAX_MESSAGE], **fields}
        try:
            os.write(self._descriptor, json.dumps(record).encode() + b"\n")
        except OSError:
            self._descriptor = None

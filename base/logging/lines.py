"""How every process of ours writes its log: events with fields, one line each.

For people, `time level event name=value …`; for machines, the same as one JSON object. A record's
fields are in its attribute `fields`; which process wrote it follows them. Where stderr is systemd's
journal, each line begins with its priority, `<4>` for a warning: the journal takes it off.
"""

from __future__ import annotations

import logging
import os
from textwrap import indent
from typing import Any, Literal

import msgspec

from genvm_manager.base.text.printable import printable, printable_json, printable_lines
from genvm_manager.base.text.timestamps import to_rfc3339

Level = Literal["trace", "debug", "info", "warn", "error"]
"""Levels as the configuration and clients spell them."""

Form = Literal["console", "json"]

TRACE = 5
LEVELS: dict[str, int] = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
"""The same as Python's `logging` counts them."""

_PRIORITIES = {logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_DEBUG_PRIORITY = 7

_NAMES = {number: name for name, number in LEVELS.items()} | {logging.CRITICAL: "error"}


def formatter(form: Form, process: str) -> logging.Formatter:
    """Return the formatter that makes lines for stderr of the records of a process."""
    lines = _JsonFormatter(process) if form == "json" else _ConsoleFormatter(process)
    return _JournalFormatter(lines) if _stderr_is_journal() else lines


class _Formatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the record's own fields, then those of the process that wrote it."""
        fields = {**getattr(record, "fields", {}), "process": self._process}
        return fields if record.process is None else {**fields, "pid": record.process}


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": to_rfc3339(record.created),
            "level": _NAMES.get(record.levelno, "info"),
            "event": record.getMessage(),
            **self._fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return printable_json(msgspec.json.encode(line, enc_hook=repr).decode())


class _ConsoleFormatter(_Formatter):
    """Quotes a value with spaces or control characters, and leaves out one that is None."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [to_rfc3339(record.created), _NAMES.get(record.levelno, "info")]
        parts.append(printable(record.getMessage(), ""))
        fields = self._fields(record)
        parts += [f"{name}={_plain(value)}" for name, value in fields.items() if value is not None]
        line = " ".join(parts)
        if record.exc_info:
            # Set in, so that no line of what an exception says passes for one of the log.
            line += "\n" + indent(printable_lines(self.formatException(record.exc_info)), "  ")
        return line


class _JournalFormatter(logging.Formatter):
    """Puts the priority before each line: a traceback has many."""

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES.get(record.levelno, _DEBUG_PRIORITY)}>"
        return prefix + self._lines.format(record).replace("\n", f"\n{prefix}")


def _stderr_is_journal() -> bool:
    """Return whether systemd has connected stderr to its journal, which it names by inode."""
    try:
        stderr = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return printable(text if text.isprintable() and " " not in text else repr(text), "")

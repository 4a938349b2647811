"""How log lines look where they go to systemd's journal."""

from __future__ import annotations

import logging
import os
import sys

import pytest

from genvm_manager.base.logging.lines import TRACE, Form, formatter


def line(form: Form, level: int, *, fails: bool = False) -> str:
    """What stands in the log for one event."""
    record = logging.LogRecord("test", level, "", 0, "event", None, None)
    if fails:
        try:
            raise ValueError("on two\nlines")
        except ValueError:
            record.exc_info = sys.exc_info()
    return formatter(form, "tests").format(record)


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if systemd had connected stderr to its journal."""
    stderr = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino}")


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("form", ["console", "json"])
def test_every_line_has_its_priority(form: Form) -> None:
    for level, priority in (
        (logging.CRITICAL, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (logging.INFO, 6),
        (logging.DEBUG, 7),
        (TRACE, 7),
    ):
        assert line(form, level).startswith(f"<{priority}>")
    lines = line(form, logging.ERROR, fails=True).splitlines()
    assert all(each.startswith("<3>") for each in lines)
    assert len(lines) == (1 if form == "json" else 6)


def test_elsewhere_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not line("console", logging.ERROR).startswith("<")
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    assert not line("json", logging.ERROR).startswith("<")

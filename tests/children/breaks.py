"""Logs faults of its own with where they were, as the built-in executor does, and ends."""

from __future__ import annotations

from executor_line import log

PLACE = b'"File \\"/opt/secret/run.py\\"\\nKeyError"'
for _ in range(10):
    log(b'{"level":"error","message":"broke","traceback":%b}' % PLACE)

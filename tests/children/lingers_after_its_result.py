"""Hands in its execution data as its result, notes in its TMPDIR that it was answered, sleeps."""

from __future__ import annotations

import os
import time

from executor_line import consume_result, stdin

consume_result(stdin())
with open(os.path.join(os.environ["TMPDIR"], "answered"), "w"):
    time.sleep(600)

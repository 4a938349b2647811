"""Sleeps until SIGTERM, then sends a result and exits with 3."""

from __future__ import annotations

import signal
import sys
import time

from executor_line import consume_result


def end(*_: object) -> None:
    """Send a result and exit."""
    consume_result(b"ended")
    sys.exit(3)


signal.signal(signal.SIGTERM, end)
time.sleep(600)

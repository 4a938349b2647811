"""Says that it runs, ignores SIGTERM, and sleeps."""

from __future__ import annotations

import signal
import time

from executor_line import log

signal.signal(signal.SIGTERM, signal.SIG_IGN)
log(b"deaf")
time.sleep(600)

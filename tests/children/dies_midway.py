"""Announces a result of 1,000 bytes, sends ten of them, and kills itself."""

from __future__ import annotations

import os
import signal

from executor_line import result_fd

os.write(1, b"on my way")
os.write(result_fd(), b"\x06" + (1_000).to_bytes(4, "little") + b"0123456789")
os.kill(os.getpid(), signal.SIGKILL)

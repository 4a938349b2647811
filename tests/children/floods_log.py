"""Writes 50,000 log records, among them a line of a megabyte that is no JSON."""

from __future__ import annotations

import os

from executor_line import log, log_fd

log(b"y" * 1_000_000)
for block in range(50):
    records = (b'{"level":"debug","message":"%d"}' % (block * 1_000 + n) for n in range(1_000))
    os.write(log_fd(), b"\n".join(records) + b"\n")

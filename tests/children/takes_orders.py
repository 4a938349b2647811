"""Prints, logs, takes memory, works, sleeps, sends a result, sleeps again and ends, as ordered.

Its orders, each optional: `print` and `log` bytes, `memory` bytes, `spin` and `sleep` seconds,
`result` bytes, `sleep_after` seconds, `signal` to end itself by, `exit` code.
"""

from __future__ import annotations

import os
import sys
import time

import executor_line
from recorder import orders

told = orders()
left = int(told.get("print", 0))
while left > 0:
    left -= os.write(1, b"p" * min(left, 1 << 16))
for _ in range(0, int(told.get("log", 0)), 100):
    executor_line.log(b'{"level": "info", "message": "%s"}' % (b"l" * 64))
taken = bytearray(b"m") * int(told.get("memory", 0))
until = time.monotonic() + told.get("spin", 0)
while time.monotonic() < until:
    pass
time.sleep(told.get("sleep", 0))
if "result" in told:
    name = str(told["name"]).encode() + b"\n"
    executor_line.consume_result(name + b"r" * int(told["result"]))
time.sleep(told.get("sleep_after", 0))
if "signal" in told:
    os.kill(os.getpid(), told["signal"])
sys.exit(told.get("exit", 0))

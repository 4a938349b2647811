"""Writes 100 MB to stdout and 20 MB to stderr, then a last line to each."""

from __future__ import annotations

import os

LINE = b"x" * 9_999 + b"\n"
for _ in range(10_000):
    os.write(1, LINE)
for _ in range(2_000):
    os.write(2, LINE)
os.write(1, b"the end\n")
os.write(2, b"the end\n")

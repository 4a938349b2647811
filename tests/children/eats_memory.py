"""Takes 300 MB and keeps them."""

from __future__ import annotations

import time

taken = bytearray(b"m") * (300 << 20)
time.sleep(600)

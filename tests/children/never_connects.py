"""Closes all its descriptors and sleeps: no result, no log, no end."""

from __future__ import annotations

import os
import time

os.closerange(0, 1_000)
time.sleep(600)

"""Starts a daemon in a session of its own, and both sleep."""

from __future__ import annotations

import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
time.sleep(600)

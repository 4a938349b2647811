"""Keeps a process that keeps a daemon, each in a session of its own, the daemon without a name.

The daemon has thrown away its environment.
"""

from __future__ import annotations

import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.execve("/bin/sleep", ["sleep", "600"], {})
time.sleep(600)

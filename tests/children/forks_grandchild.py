"""Leaves three behind and exits: a child, a daemon of its own session, and one without a name.

The last has left the session and thrown away its environment. Their pids go to stdout.
"""

from __future__ import annotations

import os
import time


def linger(make: object = None) -> None:
    if callable(make):
        make()
    print(os.getpid(), flush=True)
    time.sleep(600)
    os._exit(0)


def daemon() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)


def nameless_daemon() -> None:
    daemon()
    print(os.getpid(), flush=True)
    os.execve("/bin/sleep", ["sleep", "600"], {})


for kind in (None, daemon, nameless_daemon):
    if os.fork() == 0:
        linger(kind)
time.sleep(0.2)

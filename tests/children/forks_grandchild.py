"""Leaves three behind and exits: a child, a daemon of its own session, and one without a name.

The last has left the session and thrown away its environment. Their pids go to stdout.
"""

from __future__ import annotations

import os
import time


def sleep(make: object = None) -> None:
    """Call `make`, print the pid and sleep."""
    if callable(make):
        make()
    print(os.getpid(), flush=True)
    time.sleep(600)
    os._exit(0)


def daemon() -> None:
    """Become a daemon in a session of its own."""
    os.setsid()
    if os.fork():
        os._exit(0)


def nameless_daemon() -> None:
    """Become a daemon without the run's token in its environment."""
    daemon()
    print(os.getpid(), flush=True)
    os.execve("/bin/sleep", ["sleep", "600"], {})


for kind in (None, daemon, nameless_daemon):
    if os.fork() == 0:
        sleep(kind)
time.sleep(0.2)

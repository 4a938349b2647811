"""A pipe whose other end is held by whoever started this process."""

from __future__ import annotations

import fcntl
import os
import select
import signal


def stop_when_closed(descriptor: int) -> None:
    """Have this process sent SIGTERM once the writing end of the pipe `descriptor` is closed.

    The kernel sends it: no thread is needed, which a process that forks should not have.
    """
    os.set_inheritable(descriptor, False)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGTERM)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if poll.poll(0):
        os.kill(os.getpid(), signal.SIGTERM)

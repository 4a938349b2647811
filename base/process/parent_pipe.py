"""The parent-death pipe: its writing end is held by the process that started this one alone."""

from __future__ import annotations

import fcntl
import os
import signal

from .pidfd import wait_readable


def stop_when_closed(descriptor: int) -> None:
    """Have this process sent SIGTERM once the writing end of the pipe `descriptor` is closed.

    The kernel sends it: no thread is needed, which a process that forks should not have.
    """
    os.set_inheritable(descriptor, False)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGTERM)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
    # A pipe that was closed before O_ASYNC was set sends nothing any more.
    if wait_readable([descriptor], 0):
        os.kill(os.getpid(), signal.SIGTERM)

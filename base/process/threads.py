"""Starting threads where the system may refuse one."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_PAUSE = 0.2


def start_thread(thread: threading.Thread, timeout: float = 0.0) -> None:
    """Start a thread; when the system refuses, try again for `timeout` seconds.

    Raises `BlockingIOError`, as a refused fork does: Python's own `RuntimeError` says too little.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            thread.start()
        except RuntimeError:
            if time.monotonic() >= deadline:
                raise _refused() from None
            time.sleep(_PAUSE)
        else:
            return


def started_threads(name: str, count: int, timeout: float = 0.0) -> ThreadPoolExecutor:
    """Return a pool of `count` threads that all run already: nothing submitted is refused later.

    Try for `timeout` seconds to start them. Raises `BlockingIOError`; no thread is left then.
    """
    # Executors import this file too, but need no pool.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    deadline = time.monotonic() + timeout
    while True:
        pool = ThreadPoolExecutor(count, name)
        all_started = threading.Event()
        try:
            # A pool starts a thread only when none is idle: so each one waits until all run.
            for _ in range(count):
                pool.submit(all_started.wait)
        except RuntimeError:
            all_started.set()
            pool.shutdown(wait=False, cancel_futures=True)
            if time.monotonic() >= deadline:
                raise _refused() from None
            time.sleep(_PAUSE)
        else:
            all_started.set()
            return pool


def loop_threads(timeout: float = 0.0) -> ThreadPoolExecutor:
    """Return the threads for an event loop's `asyncio.to_thread` and look-ups of names.

    There are as many as asyncio itself would start.
    """
    return started_threads("work", min(32, (os.cpu_count() or 1) + 4), timeout)


def _refused() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "the system has no thread to spare")

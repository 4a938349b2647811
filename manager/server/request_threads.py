"""The threads of an HTTP worker, each of which serves one request at a time.

A `ThreadPoolExecutor` is no use here: when the system refuses it a thread, it keeps the work all
the same and counts a thread that it does not have; later requests would wait for minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

Work = Callable[[], None]


class RequestThreads:
    """At most `most` threads, started when they are first needed. `submit` is for one thread."""

    def __init__(self, most: int) -> None:
        """Start no thread yet."""
        self._most = most
        self._count = 0
        self._idle = 0
        """Threads that wait for work, less the work that waits for a thread."""
        self._lock = Lock()
        self._work: SimpleQueue[Work | None] = SimpleQueue()

    def submit(self, work: Work) -> None:
        """Have a thread do `work`, which raises nothing, once one is free.

        Raises `RuntimeError` when it needs a new thread and the system refuses one: then the work
        is not done.
        """
        with self._lock:
            is_new = self._idle <= 0 and self._count < self._most
            if not is_new:
                self._idle -= 1
        if is_new:
            Thread(target=self._serve, args=(work,), name="request").start()
            self._count += 1
        else:
            self._work.put(work)

    def shutdown(self, wait: bool = False) -> None:  # noqa: ARG002 - as gunicorn calls it
        """Have the threads end once no work is left. A signal's handler may call it."""
        self._work.put(None)

    def _serve(self, first: Work) -> None:
        work: Work | None = first
        while work is not None:
            work()
            with self._lock:
                self._idle += 1
            work = self._work.get()
        self._work.put(None)

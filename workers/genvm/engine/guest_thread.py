"""Work on a thread whose stack has a fixed size, whatever `ulimit -s` says.

A guest may fill its stack, and where it then traps must not depend on the machine or on how deep
the caller stands already; so each guest starts at the top of a thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from genvm_manager.base.process.threads import start_thread

from .endings import ExecutorFault
from .engine import THREAD_STACK

T = TypeVar("T")

_THREAD_TIMEOUT = 1.0
"""Seconds for which a refused thread is tried again."""


class GuestThread(Generic[T]):
    """Runs `work` at once on a thread of its own.

    Raises `ExecutorFault` when the system has no thread to spare.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._returned: list[T] = []
        self._raised: BaseException | None = None
        threading.stack_size(THREAD_STACK)
        self._thread = threading.Thread(target=self._perform, name="guest", daemon=True)
        try:
            start_thread(self._thread, _THREAD_TIMEOUT)
        except OSError as error:
            raise ExecutorFault(f"{error.strerror} for a contract; run it again later") from None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait at most `seconds`, and return whether the work is done."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> T:
        """Wait for the end of `work`; return what it returned, or raise what it raised."""
        self._thread.join()
        if self._raised is not None:
            raise self._raised
        return self._returned[0]

    def _perform(self) -> None:
        try:
            self._returned.append(self._work())
        except BaseException as error:  # It is raised again by `result`.
            self._raised = error

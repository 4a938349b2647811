"""The process that started this one, and whether it is still there."""

from __future__ import annotations

import os
import select


class ParentUnknown(Exception):
    """The parent cannot be watched; the message says why."""


class Parent:
    """Watches the parent through a pidfd.

    PDEATHSIG would not do: it tells of the end of the thread that started us, which may come early.
    """

    def __init__(self, noted_pid: int | None = None) -> None:
        """`noted_pid` is the parent as whoever ran before us in this process has seen it.

        A parent that ended in the meantime is known by it: we have another one now. Raises
        `ParentUnknown`.
        """
        pid = os.getppid()
        self._is_gone = noted_pid not in (None, pid)
        self.descriptor = -1
        try:
            self.descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._is_gone = True
        except OSError:
            raise ParentUnknown(
                "the process that started this one is in another PID namespace and cannot be "
                "watched; start without --die-with-parent"
            ) from None
        # Had the pid been given to another process before it was opened, it were not our parent.
        self._is_gone = self._is_gone or os.getppid() != pid

    @property
    def is_gone(self) -> bool:
        """True from the parent's end on."""
        if not self._is_gone:
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            self._is_gone = bool(poll.poll(0))
        return self._is_gone

"""The process that started this one, and whether it is still there."""

from __future__ import annotations

import os

from .pidfd import has_ended


class ParentUnknown(Exception):
    """The parent cannot be watched; the message says why."""


class Parent:
    """Watches the parent through a pidfd, whose number is `descriptor`.

    PDEATHSIG would not do: it tells of the end of the thread that started us, which may come early.
    """

    def __init__(self, noted_pid: int | None = None) -> None:
        """Watch the parent that this process has now.

        `noted_pid` is the parent's pid as the program that ran before in this process has seen it:
        when our parent is another one now, that one has ended. Raises `ParentUnknown`.
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
        # Recheck: the pid may have been given to another process before pidfd_open.
        self._is_gone = self._is_gone or os.getppid() != pid

    @property
    def is_gone(self) -> bool:
        """Whether the parent has ended."""
        if not self._is_gone:
            self._is_gone = has_ended(self.descriptor)
        return self._is_gone

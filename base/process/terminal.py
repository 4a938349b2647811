"""Whether SIGHUP says that the terminal is gone, or asks to reload."""

from __future__ import annotations

import os
import signal

from .signals import is_ignored


class Terminal:
    """The terminal that this process was started from, if it was.

    SIGHUP is a request to reload, as daemons take it, unless that terminal has gone. Under `nohup`,
    which has SIGHUP ignored, it always is.
    """

    def __init__(self) -> None:
        """Look at the terminal and at the disposition of SIGHUP; to be called at the start."""
        self._is_followed = _has_terminal() and not is_ignored(signal.SIGHUP)

    @property
    def has_hung_up(self) -> bool:
        """Whether SIGHUP comes from the end of the terminal, upon which a program has to stop."""
        return self._is_followed and not _has_terminal()


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal.

    At a hang-up the kernel takes it away before it signals anybody.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True

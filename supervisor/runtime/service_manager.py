"""The service manager that has started us, if one has: what it is told of our state.

The words are those of sd_notify(3), as systemd understands them: assignments, one a line, in a
datagram to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress


class ServiceManager:
    """Is told things; where none listens, telling it does nothing."""

    def __init__(self, address: str | None, patience: float | None = None) -> None:
        """`patience`: seconds after which it takes us for hung unless told `WATCHDOG=1` again;
        None: it never does."""
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.patience = patience

    @classmethod
    def named_in(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """The one that variables name, which are taken out: nothing that we start speaks for us.

        Whom it watches is known by pid: it is us, or our guard, or none of ours.
        """
        address = environment.pop("NOTIFY_SOCKET", None)
        watched = environment.pop("WATCHDOG_PID", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        if watched not in ("", str(os.getpid()), str(os.getppid())):
            return cls(address)
        return cls(address, int(microseconds) / 1e6 if microseconds.isdecimal() else None)

    @property
    def is_there(self) -> bool:
        return bool(self._address)

    def tell(self, *assignments: str) -> None:
        """Say all this at once, such as `READY=1`. Never waits: what finds no room is lost."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.setblocking(False)
            speaker.sendto("\n".join(assignments).encode(), self._address)

"""The service manager, such as systemd: what it is told, and the files that it keeps for us.

It is told by the protocol of sd_notify(3): assignments, one a line, in a datagram to the socket
that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping, Sequence
from types import MappingProxyType

from genvm_manager.base.process.sd_notify import sd_notify

_DIGITS = re.compile(r"[0-9]{1,18}")
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDNAMES")

_FIRST_PASSED = 3
"""The number of the first descriptor that is passed on (sd_listen_fds(3))."""


class ServiceManager:
    """The service manager that has started us; without one, telling it does nothing."""

    def __init__(
        self,
        address: str | None,
        timeout: float | None = None,
        kept: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Talk to the socket at `address`, if it is given.

        `timeout` is the seconds after which it takes us for hung unless it is told `WATCHDOG=1`
        again; None: it never does. `kept` holds, by name, the descriptors of files that an earlier
        process had it keep.
        """
        self._address = address
        self.timeout = timeout
        self.kept = kept

    @classmethod
    def named_in(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """Return the one that the environment names, and remove the variables from there.

        Without them nothing that we start speaks for us. The pids in the variables tell which
        process is watched and is given files: it counts if that is this process or its shim.
        """
        address, watched, timeout, given, names = (environment.pop(each, "") for each in _VARIABLES)
        environment.pop("LISTEN_FDS", None)
        ours = (str(os.getpid()), str(os.getppid()))
        is_watched = _DIGITS.fullmatch(timeout) is not None and watched in ("", *ours)
        return cls(
            address or None,
            int(timeout) / 1e6 if is_watched else None,
            _taken(names.split(":")) if given in ours else {},
        )

    @property
    def is_there(self) -> bool:
        """Whether a service manager has started us."""
        return bool(self._address)

    def tell(self, *assignments: str) -> None:
        """Send assignments, such as `READY=1`, in one message.

        This never waits: the message is lost when the socket has no room.
        """
        sd_notify(self._address, "\n".join(assignments))

    def keep(self, name: str, descriptor: int) -> None:
        """Have it keep an open file for the next process, until it is told to `forget` it."""
        sd_notify(self._address, f"FDSTORE=1\nFDNAME={name}", [descriptor])

    def forget(self, name: str) -> None:
        """Have it close the file that it keeps by that name."""
        self.tell("FDSTOREREMOVE=1", f"FDNAME={name}")


def _taken(names: Sequence[str]) -> dict[str, int]:
    """Return the descriptors that came with our start, by name, and make them close on exec."""
    kept = {name: _FIRST_PASSED + index for index, name in enumerate(names)}
    for descriptor in kept.values():
        os.set_inheritable(descriptor, False)
    return kept

"""The service manager that has started us, if one has: what it is told, and what it keeps for us.

The words are those of sd_notify(3), as systemd understands them: assignments, one a line, in a
datagram to the socket that NOTIFY_SOCKET names.
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
    """Is told things; where none listens, telling it does nothing."""

    def __init__(
        self,
        address: str | None,
        timeout: float | None = None,
        kept: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`timeout`: seconds after which it takes us for hung unless told `WATCHDOG=1` again;
        None: it never does. `kept`: by name, the files that a process before us had it keep."""
        self._address = address
        self.timeout = timeout
        self.kept = kept

    @classmethod
    def named_in(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """The one that variables name, which are taken out: nothing that we start speaks for us.

        Whom it watches and gives files is known by pid: it is us, or our shim, or none of ours.
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
        return bool(self._address)

    def tell(self, *assignments: str) -> None:
        """Say all this at once, such as `READY=1`. Never waits: what finds no room is lost."""
        sd_notify(self._address, "\n".join(assignments))

    def keep(self, name: str, descriptor: int) -> None:
        """Have it keep an open file for the process after us, until it is told to `forget` it."""
        sd_notify(self._address, f"FDSTORE=1\nFDNAME={name}", [descriptor])

    def forget(self, name: str) -> None:
        """Have it keep that file no more."""
        self.tell("FDSTOREREMOVE=1", f"FDNAME={name}")


def _taken(names: Sequence[str]) -> dict[str, int]:
    """The descriptors that came with our start, by name; what we start in turn gets none."""
    kept = {name: _FIRST_PASSED + index for index, name in enumerate(names)}
    for descriptor in kept.values():
        os.set_inheritable(descriptor, False)
    return kept

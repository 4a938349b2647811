"""Listening at every address that a host's name stands for, on one port."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

MOST_ADDRESSES = 8
"""Most addresses that one name may have."""

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The address is another machine's, or this one has no IPv6, or none of IPv4."""

_ATTEMPTS = 16
"""How often a port is looked for that is free at all addresses."""

Place = tuple[socket.AddressFamily, Any]
"""A family of addresses, and an address with its port as `socket.bind` takes it."""


class CannotListen(Exception):
    """`error` is why, at the address `place`."""

    def __init__(self, place: str, error: OSError) -> None:
        super().__init__(f"{place}: {error.strerror}")
        self.place = place
        self.error = error


def places_of(found: Sequence[tuple[Any, ...]]) -> list[Place]:
    """Return what `getaddrinfo` has found, each place once. Raises `OSError` for too many."""
    places = list(dict.fromkeys((family, place) for family, _, _, _, place in found))
    if len(places) > MOST_ADDRESSES:
        raise OSError(errno.E2BIG, f"the name has over {MOST_ADDRESSES} addresses")
    return places


def listen_at_each(
    places: Sequence[Place], listening: Callable[[Place], socket.socket]
) -> list[socket.socket]:
    """Listen at each place that is of this machine, on one port, with the socket that `listening`
    makes. Raises `CannotListen` when one cannot be had, or none is of this machine.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _listen(places, listening)
        except CannotListen as refusal:
            is_free_port_wanted = places[0][1][1] == 0 and len(places) > 1
            if refusal.error.errno != errno.EADDRINUSE or not is_free_port_wanted:
                raise
    return _listen(places, listening)


def _listen(
    places: Sequence[Place], listening: Callable[[Place], socket.socket]
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: CannotListen | None = None
    with ExitStack() as undo:
        for family, (host, port, *scope) in places:
            # With 0 the kernel has chosen at the first address.
            taken = sockets[0].getsockname()[1] if sockets else port
            try:
                made = listening((family, (host, taken, *scope)))
            except OSError as error:
                refusal = CannotListen(host, error)
                if error.errno not in _NOT_HERE:
                    raise refusal from None
                missing = missing or refusal
            else:
                sockets.append(undo.enter_context(made))
        if missing is not None and not sockets:
            raise missing
        undo.pop_all()
    return sockets

"""The listening sockets of a module, beside the connections that are handed to its workers.

They are bound once, shared by all workers, and kept when another pool follows at the same address.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from dataclasses import dataclass

from genvm_manager.base.errors import RequestFailed
from genvm_manager.base.network.listening import CannotListen, Place, listen_at_each, places_of

_BACKLOG = 1_024


@dataclass(frozen=True, slots=True)
class Address:
    """Where a module listens; `host` is a name or an address, empty for all of this machine's."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Listener:
    """The listening sockets of an address.

    There is one for each IP address of its name that this machine has: `localhost` may mean `::1`
    where there is no IPv6.
    """

    def __init__(self, address: Address, sockets: list[socket.socket]) -> None:
        self.address = address
        self.sockets = sockets

    @classmethod
    async def bind(cls, address: Address) -> Listener:
        """Listen at an address. Raises `RequestFailed`, which says why that cannot be done."""
        try:
            return cls(address, listen_at_each(await _places(address), _listening))
        except CannotListen as refusal:
            cause: OSError | UnicodeError = refusal.error
        except (OSError, UnicodeError) as error:
            cause = error
        raise RequestFailed(f"cannot listen at {address}: {_reason(cause)}")

    def close(self) -> None:
        """Close the sockets here; processes that have copies go on listening."""
        for each in self.sockets:
            each.close()


async def _places(address: Address) -> list[Place]:
    found = await asyncio.get_running_loop().getaddrinfo(
        address.host or None,
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    return places_of(found)


def _listening(place: Place) -> socket.socket:
    family, address = place
    with contextlib.ExitStack() as undo:
        listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        undo.callback(listening.close)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A dead executor on another machine is noticed by this; accepted sockets inherit it.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        undo.pop_all()
    return listening


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError) or error.strerror is None:
        return "the host cannot be looked up"
    if error.errno == errno.EADDRINUSE:
        return f"{error.strerror}; end what listens there, or give another port"
    return error.strerror

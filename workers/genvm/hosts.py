"""The hosts of a run: connecting to them, and which one serves which method (spec 04)."""

from __future__ import annotations

import socket

from protocol.host import HostClient

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
"""How long a host may take for one answer; after that it counts as gone."""


class HostUnreachable(Exception):
    """A host of the command line cannot be used; the message says which and why."""


def connect(address: str) -> HostClient:
    """A client of the host at `unix://PATH`, `tcp://HOST:PORT` or `fd://N`.

    Raises `HostUnreachable` within `CONNECT_SECONDS`.
    """
    scheme, separator, rest = address.partition("://")
    try:
        connection = _open(scheme if separator else "", rest)
    except (OSError, ValueError, OverflowError) as error:
        raise HostUnreachable(f"host {address}: {error}; is the node's host loop there?") from None
    connection.settimeout(ANSWER_SECONDS)
    return HostClient(connection)


def _open(scheme: str, rest: str) -> socket.socket:
    if scheme == "fd":
        return socket.socket(fileno=int(rest))
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(rest)
        return connection
    if scheme == "tcp":
        name, _, port = rest.rpartition(":")
        connection = socket.create_connection((name.strip("[]"), int(port)), CONNECT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    raise ValueError("expected unix://PATH, tcp://HOST:PORT or fd://N")

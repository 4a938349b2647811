"""Whether a host and port lead to this machine."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address

from .host_port import is_loopback


def leads_here(host: str, port: int) -> bool:
    """Return whether a connection to there would, as names are known now, end on this machine.

    Blocks while a name is looked up. Raises `OSError` when it is not known.
    """
    if is_loopback(host):
        return True
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(str(error)) from None
    return any(is_local(str(entry[4][0])) for entry in found)


def is_local(address: str) -> bool:
    """Return whether an IP address is one of this machine's, the unspecified one included."""
    plain = ip_address(address)
    mapped = plain.ipv4_mapped if isinstance(plain, IPv6Address) else None
    plain = mapped or plain
    if plain.is_unspecified or plain.is_loopback:
        return True
    family = socket.AF_INET6 if isinstance(plain, IPv6Address) else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # The kernel binds to its own addresses alone, and nothing is sent.
            place = socket.getaddrinfo(str(plain), 0, family, socket.SOCK_DGRAM)[0][4]
            probe.bind(place)
        except OSError:
            return False
    return True

"""Which addresses belong to the public internet (docs/spec/05-modules.md#safety)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_NAT64 = IPv6Network("64:ff9b::/96")
"""NAT64, by which machines with only IPv6 reach IPv4: the last 32 bits are the IPv4 address."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All allocated public IPv6 addresses."""

_NEVER = tuple(
    ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16",
                    "3fff::/20")
)  # fmt: skip
"""Addresses for protocols, documentation and tunnels to IPv4, some of which Python's `is_global`
takes for public, depending on its version."""

_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""The third 32 bits of an IPv6 address that some routers take for a tunnel to an IPv4 address."""


def is_public(text: str) -> bool:
    """Return whether an address is globally routable and belongs to one machine."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        is_allocated = not address.is_multicast and not address.is_reserved
    elif address in _NAT64:
        return is_public(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    else:
        is_allocated = address in _GLOBAL_UNICAST and not _is_tunnel(address)
    return is_allocated and address.is_global and not any(address in each for each in _NEVER)


def _is_tunnel(address: IPv6Address) -> bool:
    return (int(address) >> 32) & 0xFFFFFFFF in _ISATAP

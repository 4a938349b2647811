"""Which addresses belong to the public internet (spec 05, safety)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_NAT64 = IPv6Network("64:ff9b::/96")
"""By which machines with IPv6 alone reach IPv4: the last 32 bits are the address meant."""

_NEVER = tuple(
    ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "::/96", "::ffff:0:0/96", "2001::/32",
                    "2002::/16", "fec0::/10")
)  # fmt: skip
"""For protocols, tunnels to IPv4 and sites: not all of them are private for Python."""


def is_public(text: str) -> bool:
    """Whether an address is globally routable and means one machine."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address in _NAT64:
        return is_public(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NEVER)
    )

"""Hosts and ports as text: `localhost:3999`, `10.0.0.7:80`, `[::1]:3999`.

One strict reading for all that takes a host: what one part of the service has checked, no other
may take for another host.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from genvm_manager.base.text.numbers import whole_number

MAX_NAME = 253
MAX_PORT = 65_535

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_SCOPE = re.compile(r"[A-Za-z0-9._-]{1,15}")


class HostPort(NamedTuple):
    """`host` without brackets, as it was written."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str) -> HostPort:
    """Take `HOST:PORT` apart; port 0 is one too. Raises `ValueError`."""
    written, _, port = text.rpartition(":")
    is_bracketed = written.startswith("[") and written.endswith("]")
    host = written[1:-1] if is_bracketed else written
    if not is_host(host) or is_bracketed != (":" in host):
        hint = ", an IPv6 address in brackets" if ":" in host else ""
        raise ValueError(f"expected HOST:PORT{hint}, got {text[:60]!r}")
    try:
        return HostPort(host, whole_number(port, MAX_PORT))
    except ValueError:
        raise ValueError(f"expected a port from 0 to {MAX_PORT}, got {port[:20]!r}") from None


def is_host(text: str) -> bool:
    """Return whether it is a DNS name in ASCII, an IPv4 address of four numbers, or an IPv6 one.

    Some programs take `127.1`, `0x7f.1` and `2130706433` for addresses; they are no hosts here.
    """
    if ":" in text:
        return _is_ipv6(text)
    name = text.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _is_ipv4(text)
    return len(name) <= MAX_NAME and all(map(_LABEL.fullmatch, labels))


def is_loopback(host: str) -> bool:
    """Return whether it is an address of this machine's own network, or `localhost`."""
    with suppress(ValueError):
        address = ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return (mapped or address).is_loopback
    return host.lower().removesuffix(".") == "localhost"


def _is_ipv6(text: str) -> bool:
    address, percent, scope = text.partition("%")
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return not percent or _SCOPE.fullmatch(scope) is not None


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return text.isascii()

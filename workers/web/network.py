"""All outgoing connections: a name is looked up once, and the checked addresses are connected to.

Source: docs/spec/05-modules.md#safety.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
import httpcore

from genvm_manager.base.network.host_port import is_host, parse_host_port

from .addresses import is_public
from .faults import ADDRESS_FORBIDDEN, CONNECTION_FAILED, HOST_NOT_FOUND, WebFault
from .urls import UrlRules, is_domain

LOOKUP_TIMEOUT = 10.0
"""Seconds for a DNS lookup."""

CONNECT_TIMEOUT = 10.0
"""Seconds for connecting to one address."""

_MOST_ADDRESSES = 4
_DNS_PORT = 53

T = TypeVar("T")

Dial = Callable[[str, int], Awaitable[T]]
"""Connects to an address and a port. Raises `OSError`."""


class Network:
    """Connects to hosts that the rules allow, at public addresses."""

    def __init__(self, rules: UrlRules, dns_servers: Sequence[str] = ()) -> None:
        """Prepare the resolver; `dns_servers` as in `WebConfig`.

        Raises `ValueError` naming the invalid setting.
        """
        self._rules = rules
        self._resolver = _resolver(dns_servers)
        self._has_own_dns = bool(dns_servers)

    async def reach(self, host: str, port: int, dial: Dial[T]) -> T:
        """Return the result of `dial` for the first address that answers. Raises `WebFault`."""
        refusal = ""
        for address in await self._addresses(host, port):
            try:
                return await asyncio.wait_for(dial(address, port), CONNECT_TIMEOUT)
            except TimeoutError:
                refusal = f"{host} did not answer within {CONNECT_TIMEOUT:g} s"
            except OSError as error:
                refusal = f"{host} cannot be reached: {error.strerror or error}"
        raise WebFault(CONNECTION_FAILED, _place(host, port), refusal)

    async def require(self, host: str, port: int) -> None:
        """Raise `WebFault` unless the host has an address that may be connected to."""
        await self._addresses(host, port)

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses that may be connected to, in the order to try; never empty."""
        plain = self._rules.check_place(host, port)
        if self._rules.is_trusted(plain, port):
            found = await self._look_up_trusted(plain, port)
        else:
            found = await self._look_up_in_dns(plain)
        if not found:
            raise WebFault(HOST_NOT_FOUND, _place(host, port), f"{plain}: no such name")
        if not self._rules.is_trusted(plain, port):
            found = [address for address in found if is_public(address)]
        if not found:
            reason = f"{plain} is not on the public internet"
            raise WebFault(ADDRESS_FORBIDDEN, _place(host, port), reason)
        return found[:_MOST_ADDRESSES]

    async def _look_up_trusted(self, host: str, port: int) -> list[str]:
        """Look a host up with the configured name servers, else with the system's resolver."""
        if self._has_own_dns and is_domain(host):
            with suppress(WebFault):
                if found := await self._look_up_in_dns(host):
                    return found
        return await _look_up_in_system(host, port)

    async def _look_up_in_dns(self, host: str) -> list[str]:
        """Return the addresses in DNS. Raises `WebFault` if no server answers."""
        lookups = [
            self._resolver.resolve(
                f"{host}.", kind, lifetime=LOOKUP_TIMEOUT, raise_on_no_answer=False
            )
            for kind in ("A", "AAAA")
        ]
        found: list[str] = []
        failed = []
        # Some servers answer for IPv4 only and fail for IPv6.
        for answer in await asyncio.gather(*lookups, return_exceptions=True):
            if isinstance(answer, dns.resolver.Answer):
                found += [str(record.address) for record in answer]
            elif not isinstance(answer, dns.resolver.NXDOMAIN | dns.resolver.YXDOMAIN):
                failed.append(answer)
        if failed and not found:
            raise WebFault(CONNECTION_FAILED, f"//{host}", f"{host}: no name server answers")
        return found


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Makes httpcore connect through a `Network`."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._streams = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises `WebFault`."""

        async def dial(address: str, port: int) -> httpcore.AsyncNetworkStream:
            try:
                return await self._streams.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.TimeoutException:
                raise TimeoutError from None
            except httpcore.NetworkError as error:
                raise OSError(str(error)) from None

        return await self._network.reach(host, port, dial)


async def _look_up_in_system(host: str, port: int) -> list[str]:
    """Look a host up with the system's resolver; only for hosts that the operator has named."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return []


def _resolver(servers: Sequence[str]) -> dns.asyncresolver.Resolver:
    if not servers:
        with suppress(dns.resolver.NoResolverConfiguration):
            return dns.asyncresolver.Resolver()
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [_name_server(server) for server in servers or ["127.0.0.1"]]
    return resolver


def _name_server(text: str) -> dns.nameserver.Do53Nameserver:
    try:
        return dns.nameserver.Do53Nameserver(*_address_and_port(text))
    except ValueError:
        reason = f"dns_servers: expected ADDRESS or ADDRESS:PORT, got {text[:40]!r}"
        raise ValueError(reason) from None


def _address_and_port(text: str) -> tuple[str, int]:
    """Split a name server's address; its port is 53 by default. Raises `ValueError`."""
    bare = text.removeprefix("[").removesuffix("]")
    if is_host(bare):
        return str(ipaddress.ip_address(bare)), _DNS_PORT
    place = parse_host_port(text)
    if not place.port:
        raise ValueError("port 0 is not valid")
    return str(ipaddress.ip_address(place.host)), place.port


def _place(host: str, port: int) -> str:
    return f"//{host}:{port}"

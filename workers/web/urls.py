"""Which URLs are allowed, as far as no network is needed (docs/spec/05-modules.md#safety).

URLs are parsed once and strictly, and sent on as put together from the parsed parts, so that no
later parser can read the same text differently.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

import idna
from publicsuffixlist import PublicSuffixList

from .faults import MALFORMED_URL, PORT_FORBIDDEN, SCHEMA_FORBIDDEN, TLD_FORBIDDEN, WebFault

MAX_URL = 16 << 10
DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>.*)", re.DOTALL)
_REST = re.compile(r"//(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?", re.DOTALL)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]@\\%\s]+)(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNTOUCHED = "!$%&'()*+,/:;=?@[]~-._"


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL. `host` is in ASCII and lower case, without a dot at its end."""

    scheme: str
    host: str
    port: int
    path: str
    """The path with the query, percent-encoded; never empty."""

    @property
    def authority(self) -> str:
        """The host and port as in the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """The scheme, host and port."""
        return self.scheme, self.host, self.port


class UrlRules:
    """Checks scheme, port and name; `Network` checks the address."""

    def __init__(self, extra_tld: Iterable[str] = (), always_allow_hosts: Iterable[str] = ()):
        """Parse the settings. Raises `ValueError` naming the invalid setting."""
        self._extra = {tld.lower().strip(".") for tld in extra_tld}
        self._allowed = {_plain(host) for host in always_allow_hosts}
        self._public = PublicSuffixList(accept_unknown=False, only_icann=True)

    def check(self, url: str) -> Target:
        """Return the parsed URL. Raises `WebFault` if it is not allowed."""
        target = parse(url)
        if not self.is_trusted(target.host, target.port):
            self._check_place(url, target.host, target.port)
        return target

    def check_place(self, host: str, port: int) -> str:
        """Check a host and a port without a URL; return the host in its normal form."""
        url = f"//{host}:{port}"
        plain = _host(host, url)
        if not self.is_trusted(plain, port):
            self._check_place(url, plain, port)
        return plain

    def is_trusted(self, host: str, port: int) -> bool:
        """Return whether the operator has named this host, alone or with its port."""
        return host in self._allowed or f"{host}:{port}" in self._allowed

    def _check_place(self, url: str, host: str, port: int) -> None:
        if port not in DEFAULT_PORTS.values():
            raise WebFault(PORT_FORBIDDEN, url, f"port {port}: only 80 and 443 are allowed")
        if not self._is_public_name(host):
            raise WebFault(
                TLD_FORBIDDEN, url, f"{host}: only names in a public top-level domain are allowed"
            )

    def _is_public_name(self, host: str) -> bool:
        last = host.rpartition(".")[2]
        is_known = last in self._extra or self._public.publicsuffix(last) is not None
        return is_known and not _is_address(host)


def parse(url: str) -> Target:
    """Parse a URL. Raises `WebFault` if it is malformed or not HTTP."""
    if len(url) > MAX_URL:
        raise WebFault(MALFORMED_URL, url[:200], f"longer than {MAX_URL} characters")
    whole = _URL.fullmatch(url)
    if whole is None:
        raise WebFault(MALFORMED_URL, url, "expected http://host/… or https://host/…")
    scheme = whole["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise WebFault(SCHEMA_FORBIDDEN, url, f"{scheme}: only http and https are allowed")
    rest = _REST.match(whole["rest"])
    if rest is None or any(ord(character) < 0x20 or character == "\x7f" for character in url):
        raise WebFault(MALFORMED_URL, url, "expected // and a host after the scheme")
    if "@" in rest["authority"]:
        raise WebFault(MALFORMED_URL, url, "holds a user name; send an authorization header")
    place = _AUTHORITY.fullmatch(rest["authority"])
    if place is None:
        raise WebFault(MALFORMED_URL, url, "its host or port cannot be read")
    port = int(place["port"]) if place["port"] else DEFAULT_PORTS[scheme]
    if not 0 < port < 1 << 16:
        raise WebFault(MALFORMED_URL, url, f"port {port} is not valid")
    path = quote((rest["path"] or "/") + (rest["query"] or ""), safe=_UNTOUCHED)
    return Target(scheme, _host(place["host"], url), port, path)


def is_domain(host: str) -> bool:
    """Return whether a host in its normal form is a domain name and not an address."""
    return "." in host and not _is_address(host)


def _is_address(host: str) -> bool:
    """Return whether it is an address, also as 127.1, 2130706433 or 0x7f.0.0.1."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _host(host: str, url: str) -> str:
    """Return the normal form of a host; an IPv6 address may be without brackets."""
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]")).compressed
        except ValueError:
            raise WebFault(MALFORMED_URL, url, f"{host} is not an IPv6 address") from None
    try:
        ascii_host = idna.encode(host, uts46=True).decode() if not host.isascii() else host
    except (idna.IDNAError, UnicodeError):
        raise WebFault(MALFORMED_URL, url, "its host is not a domain name") from None
    plain = ascii_host.lower().removesuffix(".")
    labels = plain.split(".")
    if len(plain) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise WebFault(MALFORMED_URL, url, "its host is not a domain name")
    return plain


def _plain(host: str) -> str:
    """Return a host of the configuration, with or without a port, in the normal form."""
    given = host.strip()
    is_bare = given.count(":") > 1 and not given.startswith("[")
    place = _AUTHORITY.fullmatch(f"[{given}]" if is_bare else given)
    try:
        if place is not None:
            plain = _host(place["host"], given)
            return f"{plain}:{int(place['port'])}" if place["port"] else plain
    except WebFault:
        pass
    raise ValueError(f"always_allow_hosts: expected NAME or NAME:PORT, got {given[:40]!r}")

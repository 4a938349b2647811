"""Which URLs may be asked for (docs/spec/05-modules.md#safety), as far as no network is needed.

One strict reading: what it takes apart is put together again from its parts, so that nobody after
it can read the same text differently.
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
    """A URL that may be asked for. `host` is in ASCII and lower case, without a dot at its end."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query, percent-encoded; never empty."""

    @property
    def authority(self) -> str:
        """As the `Host` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


class UrlRules:
    """Decides by scheme, port and name; `Network` decides by address."""

    def __init__(self, extra_tld: Iterable[str] = (), always_allow_hosts: Iterable[str] = ()):
        """Raises `ValueError` naming the setting that is none."""
        self._extra = {tld.lower().strip(".") for tld in extra_tld}
        self._allowed = {_plain(host) for host in always_allow_hosts}
        self._public = PublicSuffixList(accept_unknown=False, only_icann=True)

    def check(self, url: str) -> Target:
        """The target of a URL. Raises `WebFault`."""
        target = parse(url)
        if not self.is_trusted(target.host, target.port):
            self._check_place(url, target.host, target.port)
        return target

    def check_place(self, host: str, port: int) -> str:
        """The same for a host and a port that no URL came with; gives the host in its one form."""
        url = f"//{host}:{port}"
        plain = _host(host, url)
        if not self.is_trusted(plain, port):
            self._check_place(url, plain, port)
        return plain

    def is_trusted(self, host: str, port: int) -> bool:
        """Whether the operator has named this host, alone or with its port."""
        return host in self._allowed or f"{host}:{port}" in self._allowed

    def _check_place(self, url: str, host: str, port: int) -> None:
        if port not in DEFAULT_PORTS.values():
            raise WebFault(PORT_FORBIDDEN, url, f"port {port}: only 80 and 443 may be asked")
        if not self._is_public_name(host):
            raise WebFault(
                TLD_FORBIDDEN, url, f"{host}: only names in a public top-level domain may be asked"
            )

    def _is_public_name(self, host: str) -> bool:
        last = host.rpartition(".")[2]
        is_known = last in self._extra or self._public.publicsuffix(last) is not None
        return is_known and not _is_address(host)


def parse(url: str) -> Target:
    """Take a URL apart. Raises `WebFault` for one that is malformed or not of HTTP."""
    if len(url) > MAX_URL:
        raise WebFault(MALFORMED_URL, url[:200], f"longer than {MAX_URL} characters")
    whole = _URL.fullmatch(url)
    if whole is None:
        raise WebFault(MALFORMED_URL, url, "expected http://host/… or https://host/…")
    scheme = whole["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise WebFault(SCHEMA_FORBIDDEN, url, f"{scheme}: only http and https may be asked")
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
        raise WebFault(MALFORMED_URL, url, f"there is no port {port}")
    path = quote((rest["path"] or "/") + (rest["query"] or ""), safe=_UNTOUCHED)
    return Target(scheme, _host(place["host"], url), port, path)


def is_domain(host: str) -> bool:
    """Whether a host, in its one form, is a name that DNS could know, and no address."""
    return "." in host and not _is_address(host)


def _is_address(host: str) -> bool:
    """Also in the spellings that some programs take for one: 127.1, 2130706433, 0x7f.0.0.1."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _host(host: str, url: str) -> str:
    """The one form of a host; an IPv6 address may stand without its brackets."""
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
    """A host of the configuration, with or without a port, as targets name it."""
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

"""Access control: `Host`, `Origin` and `Sec-Fetch-Site` against web pages, and the bearer token.

A web page that a user of this machine opens can send requests to loopback. A page whose name was
made to mean 127.0.0.1 (DNS rebinding) is recognised by its `Host`, any other by its `Origin` or,
where browsers send none, by `Sec-Fetch-Site`.
"""

from __future__ import annotations

import hmac
import re
import socket
from collections.abc import Container
from ipaddress import ip_address

from flask import Flask, request
from werkzeug.exceptions import Forbidden, Unauthorized

from genvm_manager.base.settings.config import Config
from genvm_manager.manager.api.limits.transfers import current_caller

NO_AUTHORIZATION = (
    "Authorization: token required; send the header 'Authorization: Bearer TOKEN', or give "
    "genvm-manager --token-file"
)
FOREIGN_HOST = (
    "Host: {host} is not a name of this service; use localhost, or have the name added to "
    "allowed_hosts"
)

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]\s,]+)(?::[0-9]{0,5})?", re.IGNORECASE)
_NEXT_STEP = "have the page's host added to allowed_hosts if it is trusted"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def install_access_rules(
    app: Flask, config: Config, token: str | None, open_endpoints: Container[str] = ()
) -> None:
    """Make `app` refuse requests of foreign web pages, and, with a `token`, those that lack it.

    `open_endpoints` answer without a token.
    """
    known = frozenset(name.lower() for name in config.allowed_hosts)
    wanted = None if token is None else token.encode()

    @app.before_request
    def check() -> None:
        if not _is_our_host(request.host if "Host" in request.headers else None, known):
            raise Forbidden(FOREIGN_HOST.format(host=repr(request.host[:80])))
        if request.method not in _READING and not _is_our_origin(known):
            raise Forbidden(f"Origin: pages of other sites may change nothing here; {_NEXT_STEP}")
        if _is_fetched_by_another_site() and not _has_our_origin(known):
            raise Forbidden(f"Sec-Fetch-Site: other sites may request nothing here; {_NEXT_STEP}")
        if wanted is not None and request.endpoint not in open_endpoints:
            _require(wanted)


def _is_our_host(host: str | None, known: frozenset[str]) -> bool:
    """Return whether `host` names this service; a request without `Host` is from no browser.

    On addresses other than loopback any name is accepted unless `allowed_hosts` lists some.
    """
    if host is None or _came_by_unix_socket():
        return True
    name = _name_in(host)
    if name is not None and (name in known or _is_loopback(name)):
        return True
    return not known and not _is_loopback(request.environ["SERVER_NAME"])


def _has_our_origin(known: frozenset[str]) -> bool:
    return "Origin" in request.headers and _is_our_origin(known)


def _is_our_origin(known: frozenset[str]) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    scheme, _, host = origin.partition("://")
    name = _name_in(host)
    if scheme not in ("http", "https") or name is None:
        return False
    if name in known or host.lower() == request.headers.get("Host", "").lower():
        return True
    return _is_loopback(name) and _is_loopback(request.environ["SERVER_NAME"])


def _is_fetched_by_another_site() -> bool:
    """Return whether this is a cross-site subresource request; following a link does not count.

    Such a request could not read the reply, but it would occupy a worker.
    """
    fetched = request.headers.get("Sec-Fetch-Site", "")
    return fetched == "cross-site" and request.headers.get("Sec-Fetch-Mode") != "navigate"


def _require(wanted: bytes) -> None:
    """Raise `Unauthorized` (401) unless the request carries the `wanted` token."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_it = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), wanted)
    if scheme.lower() != "bearer" or not is_it:
        raise Unauthorized(NO_AUTHORIZATION)


def _came_by_unix_socket() -> bool:
    caller = current_caller()
    return caller is not None and caller.family == socket.AF_UNIX


def _name_in(host: str) -> str | None:
    """Return the name in `NAME:PORT`, in lower case without a final dot; None if it is invalid."""
    matched = _HOST.fullmatch(host)
    return matched["name"].lower().rstrip(".") if matched else None


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False

"""The web module's settings (docs/spec/05-modules.md; the official YAML's keys and ours)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.network.host_port import is_host
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.base.validation import from_value
from genvm_manager.protocol.framing import MAX_FRAME

Count = Annotated[int, Meta(ge=1)]

_DURATIONS = ("timeout", "render_timeout", "max_wait_after_loaded")
_FOR_OTHERS = frozenset({"workers", "bind_address", "host", "port"})
"""Keys that the pool reads."""


class WebConfig(Struct, frozen=True):
    """All settings with their defaults. Durations are text such as `30s`, sizes are in bytes."""

    timeout: str = "30s"
    """For a whole request, redirects included."""

    render_timeout: str = "60s"
    """For loading a page and reading it; `wait_after_loaded` comes on top."""

    max_wait_after_loaded: str = "60s"
    max_redirects: Annotated[int, Meta(ge=0)] = 10
    max_body: Annotated[int, Meta(ge=1, le=MAX_FRAME - (1 << 20))] = 32 << 20
    """What is said around a body has to fit into a frame as well."""

    extra_tld: tuple[str, ...] = ()
    always_allow_hosts: tuple[str, ...] = ()
    """Names or addresses, with or without `:port`, that skip the checks of port, name and address.
    They are looked up as every program here does; other names are asked of DNS alone."""

    dns_servers: tuple[str, ...] = ()
    """`address` or `address:port`; none: those of /etc/resolv.conf."""

    browser_path: str | None = None
    max_pages: Count = 4
    max_page_memory: Count = 1 << 30
    """Bytes of any process of the browser's; a page is in one of them."""

    webdriver_host: str | None = None

    def __post_init__(self) -> None:
        for name in _DURATIONS:
            try:
                parse_duration(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        if self.webdriver_host and not _is_url(self.webdriver_host):
            raise ValueError("webdriver_host: expected http://HOST:PORT or https://HOST:PORT")


def _is_url(text: str) -> bool:
    """Whether it is one of HTTP that names a host, and no user."""
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text and "@" not in parts.netloc
    return is_whole and is_plain and is_host(parts.hostname or "")


def parse_config(value: Mapping[str, Any]) -> tuple[WebConfig, list[str]]:
    """The settings in a map, and its keys that mean nothing to anybody here.

    Raises `BadRequest` naming the key at fault.
    """
    try:
        config = from_value(dict(value), WebConfig)
    except BadRequest as error:
        raise BadRequest(f"config: {error.message}") from None
    known = {field.name for field in msgspec.structs.fields(WebConfig)} | _FOR_OTHERS
    return config, sorted(str(key) for key in value if key not in known)

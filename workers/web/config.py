"""The web module's settings: the official YAML's keys and further ones.

Source: docs/spec/05-modules.md.
"""

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
_POOL_KEYS = frozenset({"workers", "bind_address", "host", "port"})
"""Keys that are read by the pool and its listener."""


class WebConfig(Struct, frozen=True):
    """All settings with their defaults. Durations are text such as `30s`, sizes are in bytes."""

    timeout: str = "30s"
    """The duration of a whole request, including redirects."""

    render_timeout: str = "60s"
    """The duration of loading and reading a page; `wait_after_loaded` is added to it."""

    max_wait_after_loaded: str = "60s"
    max_redirects: Annotated[int, Meta(ge=0)] = 10
    max_body: Annotated[int, Meta(ge=1, le=MAX_FRAME - (1 << 20))] = 32 << 20
    """Bytes of a body; the rest of the answer has to fit into the same frame."""

    extra_tld: tuple[str, ...] = ()
    always_allow_hosts: tuple[str, ...] = ()
    """Names or addresses, with or without `:port`, without the checks of port, name and address.

    They are looked up with the system's resolver; other names with DNS alone.
    """

    dns_servers: tuple[str, ...] = ()
    """`address` or `address:port`; if empty, the servers of /etc/resolv.conf."""

    browser_path: str | None = None
    max_pages: Count = 4
    max_page_memory: Count = 1 << 30
    """Bytes of memory of each browser process; a page runs in one of them."""

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
    """Return whether it is an HTTP URL with a host and without a user name."""
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return False
    is_plain = text.isprintable() and " " not in text and "@" not in parts.netloc
    return is_whole and is_plain and is_host(parts.hostname or "")


def parse_config(value: Mapping[str, Any]) -> tuple[WebConfig, list[str]]:
    """Return the settings in a map, and its unknown keys.

    Raises `BadRequest` naming the invalid key.
    """
    try:
        config = from_value(dict(value), WebConfig)
    except BadRequest as error:
        raise BadRequest(f"config: {error.message}") from None
    known = {field.name for field in msgspec.structs.fields(WebConfig)} | _POOL_KEYS
    return config, sorted(str(key) for key in value if key not in known)

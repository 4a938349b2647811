"""Which settings a reload (SIGHUP) takes over, and which wait for a restart."""

from __future__ import annotations

import msgspec

from .config import Config

HTTP_RELOADS = frozenset(
    {"http_workers", "http_threads", "allowed_hosts", "allowed_hosts_of_runs", "token_file"}
)
"""What the HTTP processes alone use, and take over."""

HTTP_RESTARTS = frozenset({"bind_address", "max_body", "log_format"})
"""What the HTTP processes use too, and take over when they are restarted."""

SUPERVISOR_RELOADS = frozenset(
    {
        "schema_deadline",
        "allowed_extra_args",
        "allow_unsafe_debug",
        "client_variables",
        "client_bind_addresses",
        "log_level",
    }
)
"""What the supervisor uses, and takes over; the log level is for all processes."""

SUPERVISOR_RESTARTS = (
    frozenset(Config.__struct_fields__) - HTTP_RELOADS - SUPERVISOR_RELOADS - {"bind_address"}
)
"""What the supervisor takes over when it is restarted, which lets runs finish first."""


def changed(current: Config, read: Config, names: frozenset[str]) -> list[str]:
    """Return those of the named settings that differ, in the order of the settings."""
    return [
        name
        for name in Config.__struct_fields__
        if name in names and getattr(current, name) != getattr(read, name)
    ]


def taken_over(current: Config, read: Config, names: frozenset[str]) -> Config:
    """Return `current` with the named settings as they are in `read`."""
    return msgspec.structs.replace(current, **{name: getattr(read, name) for name in names})

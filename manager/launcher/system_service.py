"""The service of this machine: the one that scripts/install has set up, for every user's commands.

Its units, in `systemd/`, know these paths as well.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

SOCKET = Path("/run/genvm-manager/http.sock")
"""Where it listens, for root and the members of one group; it is there while systemd listens."""

STATE_FOLDER = Path("/var/lib/genvm-manager")

TOKEN_FILE = Path("/etc/genvm-manager/token")


def find_system_service() -> str | None:
    """Its address, as `HttpClient` takes it; None when there is none, or this user may not ask."""
    return f"unix:{SOCKET}" if os.access(SOCKET, os.R_OK | os.W_OK) else None


def how_to_be_admitted() -> str | None:
    """What root would have to do for this user; None when there is no such service, or no need."""
    try:
        group = grp.getgrgid(SOCKET.stat().st_gid).gr_name
        user = pwd.getpwuid(os.getuid()).pw_name
    except (OSError, KeyError):
        return None
    return None if find_system_service() else f"usermod -aG {group} {user}"


def system_token_file() -> Path | None:
    """Where its token is; None when it wants none."""
    return TOKEN_FILE if TOKEN_FILE.exists() else None

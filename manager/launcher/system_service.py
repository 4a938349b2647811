"""The service of this machine, which scripts/install has set up for the commands of every user.

The same paths are in its units, in `systemd/`.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

SOCKET = Path("/run/genvm-manager/http.sock")
"""Where systemd listens for it, for root and the members of one group."""

STATE_FOLDER = Path("/var/lib/genvm-manager")

TOKEN_FILE = Path("/etc/genvm-manager/token")


def find_system_service() -> str | None:
    """Return its address, as `HttpClient` takes it; None when there is no such service, or
    this user may not connect to it.
    """
    return f"unix:{SOCKET}" if os.access(SOCKET, os.R_OK | os.W_OK) else None


def how_to_be_admitted() -> str | None:
    """Return the command by which root admits this user; None when there is no such service, or it
    admits the user already.
    """
    try:
        group = grp.getgrgid(SOCKET.stat().st_gid).gr_name
        user = pwd.getpwuid(os.getuid()).pw_name
    except (OSError, KeyError):
        return None
    return None if find_system_service() else f"usermod -aG {group} {user}"


def system_token_file() -> Path | None:
    """Return the file with its token; None when it needs none."""
    return TOKEN_FILE if TOKEN_FILE.exists() else None

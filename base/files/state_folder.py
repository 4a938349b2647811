"""Where things lie in a state folder: the one folder that a service owns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from genvm_manager.base.errors import BadRequest

from .cache_folder import home_folder

MAX_SOCKET_PATH = 107
"""The longest path, in bytes, that a Unix socket can be bound to on Linux."""

_PLAIN_ADDRESS = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,39}:[0-9]{1,5}")


def default_state_folder(environment: Mapping[str, str]) -> Path:
    """Return `$XDG_STATE_HOME/genvm-manager`, or the same under `~/.local/state`.

    Raises `BadRequest` where neither is known.
    """
    return _state_home(environment) / "genvm-manager"


def modules_state_folder(environment: Mapping[str, str], address: str) -> Path:
    """Return where `genvm-modules manager` keeps the state of its service at `address`.

    `address` is `HOST:PORT` or the path of a socket.

    One folder per address, since one machine may hold several such services; beside the folder
    above. An address that is long or unfit for a file's name is represented by a digest.
    """
    if _PLAIN_ADDRESS.fullmatch(address):
        name = address.replace(":", "-")
    else:
        name = sha256(address.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return _state_home(environment) / "genvm-modules" / name


def _state_home(environment: Mapping[str, str]) -> Path:
    root = environment.get("XDG_STATE_HOME")
    if root and Path(root).is_absolute():
        return Path(root)
    home = home_folder(environment)
    if home is None:
        raise BadRequest(
            "no folder for the state is known, since HOME is not set and this user has no home: "
            "name one by --state-dir, or set XDG_STATE_HOME"
        )
    return home / ".local" / "state"


def require_text(path: Path, what: str) -> None:
    """Raise `BadRequest` unless the path is text, as it has to be in notes, logs and replies."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BadRequest(
            f"{what} {bytes(path)!r}: its name is not UTF-8; rename it or name another one"
        ) from None


def supervisor_socket(state_folder: Path) -> Path:
    """Return the path of the supervisor's socket. Raises `ValueError` when it is too long."""
    path = state_folder / "supervisor.sock"
    if len(bytes(path)) > MAX_SOCKET_PATH:
        raise ValueError(
            f"state folder {state_folder}: its path is too long for a Unix socket "
            f"({len(bytes(path))} bytes, at most {MAX_SOCKET_PATH}); choose a shorter --state-dir"
        )
    return path


def supervisor_lock(state_folder: Path) -> Path:
    """Return the file whose lock makes a supervisor the only one; it names the holder."""
    return state_folder / "supervisor.lock"


def run_store(state_folder: Path) -> Path:
    """Return the path of the SQLite database of runs."""
    return state_folder / "runs.db"


def last_run_id(state_folder: Path) -> Path:
    """Return the file with a second copy of the last run id, from which ids continue without a
    database.
    """
    return state_folder / "last-run-id"


def log_level_file(state_folder: Path) -> Path:
    """Return the file with the log level that a supervisor has set for every process."""
    return state_folder / "log-level"


def run_scratch(state_folder: Path) -> Path:
    """Return the folder that holds one folder per run under way: its TMPDIR."""
    return state_folder / "tmp"


def temporary_files(state_folder: Path) -> Path:
    """Return TMPDIR of all but runs, where the machine has no other place for such files."""
    return state_folder / "temporary"


def service_file(state_folder: Path) -> Path:
    """Return the JSON file by which the command line finds a service that `serve` has started."""
    return state_folder / "service.json"


def local_node(state_folder: Path) -> Path:
    """Return the path of the local node's SQLite database: contracts, storage, balances."""
    return state_folder / "local-node.db"

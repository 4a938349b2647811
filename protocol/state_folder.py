"""Where things lie in a state folder: the one folder that a service owns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MAX_SOCKET_PATH = 107
"""The longest path, in bytes, that a Unix socket can be bound to on Linux."""


def default_state_folder(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/genvm-manager`, or the same under `~/.local/state`."""
    root = environment.get("XDG_STATE_HOME")
    if root and Path(root).is_absolute():
        return Path(root) / "genvm-manager"
    return Path(environment.get("HOME", "/")) / ".local" / "state" / "genvm-manager"


def supervisor_socket(state_folder: Path) -> Path:
    """Where the supervisor listens. Raises `ValueError` when the path is too long for a socket."""
    path = state_folder / "supervisor.sock"
    if len(bytes(path)) > MAX_SOCKET_PATH:
        raise ValueError(
            f"state folder {state_folder}: its path is too long for a Unix socket "
            f"({len(bytes(path))} bytes, at most {MAX_SOCKET_PATH}); choose a shorter --state-dir"
        )
    return path


def supervisor_lock(state_folder: Path) -> Path:
    """The file whose lock makes a supervisor the only one; it names the holder."""
    return state_folder / "supervisor.lock"


def run_store(state_folder: Path) -> Path:
    """The SQLite database of runs."""
    return state_folder / "runs.db"


def run_scratch(state_folder: Path) -> Path:
    """Holds one folder per run under way: its TMPDIR."""
    return state_folder / "tmp"


def service_note(state_folder: Path) -> Path:
    """JSON by which the command line finds a service that `genvm-manager serve` has started."""
    return state_folder / "service.json"


def local_node(state_folder: Path) -> Path:
    """The SQLite database of the local node: contracts, storage, balances."""
    return state_folder / "local-node.db"

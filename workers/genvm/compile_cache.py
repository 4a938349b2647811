"""Compiled modules on disk, so that a module is compiled once on a machine (spec 06, the machine).

A compiled module is machine code that we run: the folder must be ours alone, and an entry counts
only while its file is the very one that was written, by size, inode and times. Anything else is
compiled again. wasmtime itself refuses what another version or CPU compiled.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import wasmtime
from wasmtime import Engine, Module, WasmtimeError

from .engine import CONFIG_ID

LOCK_WAIT = 120.0
"""Seconds to wait for another process that compiles; after that, compile for ourselves."""


class CacheUnusable(Exception):
    """The cache folder cannot be used or trusted; the message says what to do."""


def private_folder(folder: Path) -> Path:
    """`folder`, made if missing. Raises `CacheUnusable` where others could write there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise CacheUnusable(f"{folder}: {error.strerror}; choose another --cache-dir") from None
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise CacheUnusable(f"{folder}: others may use it; chmod 700 it, or choose another")
    return folder


class CompileCache:
    """At most `max_entries` modules in `folder`; the one added first leaves first."""

    def __init__(self, folder: Path, max_entries: int) -> None:
        self._folder = private_folder(folder)
        self._max_entries = max_entries

    def load(self, engine: Engine, digest: bytes, read: Callable[[], bytes]) -> Module:
        """The module whose WASM `read` gives and whose sha256 is `digest`, compiled at most once.

        Raises `WasmtimeError` for WASM that does not compile.
        """
        entry = self._folder / f"{digest.hex()}-{_compiler_id()}.cwasm"
        module = _cached(engine, entry)
        if module is not None:
            return module
        from filelock import FileLock, Timeout  # Only paid for when compiling.

        try:
            with FileLock(self._folder / "lock", timeout=LOCK_WAIT):
                return _cached(engine, entry) or self._compile(engine, entry, read())
        except Timeout:
            return Module(engine, read())

    def holds(self, engine: Engine, digest: bytes) -> bool:
        """Whether `load` would find the module compiled."""
        return _cached(engine, self._folder / f"{digest.hex()}-{_compiler_id()}.cwasm") is not None

    def _compile(self, engine: Engine, entry: Path, wasm: bytes) -> Module:
        module = Module(engine, wasm)
        try:
            write_atomically(entry, bytes(module.serialize()))
            write_atomically(_stamp_path(entry), _stamp(entry))
            self._forget_oldest()
        except OSError:  # A full disk costs time at the next run, not this result.
            entry.unlink(missing_ok=True)
        return module

    def _forget_oldest(self) -> None:
        entries = sorted(self._folder.glob("*.cwasm"), key=lambda path: path.stat().st_mtime_ns)
        for entry in entries[: -self._max_entries]:
            entry.unlink(missing_ok=True)
            _stamp_path(entry).unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Put a whole file in place of `path`, or leave it as it was."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _cached(engine: Engine, entry: Path) -> Module | None:
    try:
        if _stamp_path(entry).read_bytes() != _stamp(entry):
            return None
        return Module.deserialize_file(engine, str(entry))
    except (OSError, WasmtimeError):
        return None


def _stamp_path(entry: Path) -> Path:
    return entry.with_suffix(".stamp")


def _stamp(entry: Path) -> bytes:
    status = entry.stat()
    numbers = status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
    return " ".join(map(str, numbers)).encode()


def _compiler_id() -> str:
    """wasmtime's version and our configuration. Asking `importlib.metadata` would take 60 ms."""
    package = Path(wasmtime.__file__).parent
    installed = next(package.parent.glob("wasmtime-*.dist-info"), package)
    return f"{installed.name.removesuffix('.dist-info')}-{CONFIG_ID}"
